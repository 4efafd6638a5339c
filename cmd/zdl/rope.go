package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"zdl/internal/experiment"
	"zdl/internal/lab"
)

// rescueLimit is how long a rescuer tries.
const rescueLimit = 10 * time.Minute

// rope leads to a process that lives on when this one is killed. It reads what is
// to be undone from its standard input, and the kernel closes that when this
// process is gone, however it ended: then it puts the lab right.
type rope struct {
	rescuer *exec.Cmd
	mu      sync.Mutex
	to      io.WriteCloser
}

// knot is one line on the rope.
type knot struct {
	Undo *experiment.Undo `json:"undo,omitempty"`
	Drop bool             `json:"drop,omitempty"` // the latest was undone
	Done bool             `json:"done,omitempty"` // there is nothing to rescue
}

// throw starts the rescuer of an experiment's run.
func (a *app) throw(by string) (*rope, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "run", "--name", a.name, "--rescue", by)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal's Ctrl-C reaches it
	r := &rope{rescuer: cmd}
	if r.to, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the process that heals the lab if this one is killed: %w", err)
	}
	return r, nil
}

// Note implements experiment.Rope.
func (r *rope) Note(u experiment.Undo) error { return r.write(knot{Undo: &u}) }

// Undone implements experiment.Rope.
func (r *rope) Undone() { _ = r.write(knot{Drop: true}) } // at worst it is undone twice

func (r *rope) write(k knot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return json.NewEncoder(r.to).Encode(k)
}

// release ends the rescuer: everything was put right.
func (r *rope) release() {
	_ = r.write(knot{Done: true}) // if it is gone, there is nothing to end
	_ = r.to.Close()
	_ = r.rescuer.Wait()
}

// rescue is the life of a rescuer.
func (a *app) rescue(client *lab.Client, by string) error {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGINT, syscall.SIGHUP)
	undo, done := hold(a.stdin)
	if done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), rescueLimit)
	defer cancel()
	return experiment.Rescue(ctx, lab.NewSubject(client, a.dirs, a.name), by, undo)
}

// hold reads the rope until it is released (done) or cut.
func hold(from io.Reader) (undo []experiment.Undo, done bool) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return undo, false // what was written of a last line was not acted on yet
		}
		var k knot
		if json.Unmarshal(line, &k) != nil {
			continue
		}
		switch {
		case k.Done:
			return nil, true
		case k.Drop && len(undo) > 0:
			undo = undo[:len(undo)-1]
		case k.Undo != nil:
			undo = append(undo, *k.Undo)
		}
	}
}
