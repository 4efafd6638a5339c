package step

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// helpers are the processes of zdl-init that active faults need: proxies, a hand
// that pulls a cable. Each ends by itself, and takes what it did back, when its
// standard input does: so a daemon that dies, even by SIGKILL, leaves none.
type helpers struct {
	mu      sync.Mutex
	running map[string]*helper
}

type helper struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	said   *tail
	exited chan struct{}
}

const (
	helperReady = 5 * time.Second // from fork to the word "ready"
	helperGrace = 2 * time.Second // from the end of its input to its own
)

// startHelper runs `zdl-init verb netns` with config on the first line of its
// input, and returns when it said "ready". One that runs already is left alone.
func (w *World) startHelper(key, verb, netns string, config any) error {
	w.helpers.mu.Lock()
	defer w.helpers.mu.Unlock()
	if h := w.helpers.running[key]; h != nil && h.alive() {
		return nil
	}
	line, err := json.Marshal(config)
	if err != nil {
		return err
	}
	h := &helper{cmd: exec.Command(w.Init, verb, netns), said: &tail{}, exited: make(chan struct{})}
	h.cmd.Stderr = h.said
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals from a terminal are for the daemon
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return err
	}
	stdout, child, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdout.Close()
	h.cmd.Stdout = child
	err = h.cmd.Start()
	child.Close()
	if err != nil {
		return fmt.Errorf("start zdl-init %s: %w", verb, err)
	}
	go func() {
		defer close(h.exited)
		_ = h.cmd.Wait() // how it ended is in what it said
	}()
	if _, err = h.stdin.Write(append(line, '\n')); err == nil {
		_ = stdout.SetReadDeadline(time.Now().Add(helperReady))
		var word string
		if word, err = bufio.NewReader(stdout).ReadString('\n'); err == nil && word != "ready\n" {
			err = fmt.Errorf("it said %q", word)
		}
	}
	if err != nil {
		h.stop()
		return fmt.Errorf("zdl-init %s: %w", verb, errors.Join(h.said.err(), err))
	}
	if w.helpers.running == nil {
		w.helpers.running = map[string]*helper{}
	}
	w.helpers.running[key] = h
	return nil
}

// stopHelper ends a helper of this daemon and returns when it is gone. Those of
// daemons before ended with them.
func (w *World) stopHelper(key string) {
	w.helpers.mu.Lock()
	defer w.helpers.mu.Unlock()
	if h := w.helpers.running[key]; h != nil {
		h.stop()
		delete(w.helpers.running, key)
	}
}

// helperRuns tells whether a helper is alive, or what it said last.
func (w *World) helperRuns(key string) error {
	w.helpers.mu.Lock()
	defer w.helpers.mu.Unlock()
	h := w.helpers.running[key]
	switch {
	case h == nil:
		return errors.New("its helper was not started")
	case !h.alive():
		return errors.Join(errors.New("its helper ended"), h.said.err())
	}
	return nil
}

func (h *helper) alive() bool {
	select {
	case <-h.exited:
		return false
	default:
		return true
	}
}

func (h *helper) stop() {
	_ = h.stdin.Close()
	select {
	case <-h.exited:
	case <-time.After(helperGrace):
		_ = h.cmd.Process.Kill()
		<-h.exited
	}
}

// tail keeps the last of what a helper wrote to its standard error.
type tail struct {
	mu   sync.Mutex
	text string
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += string(b)
	if n := len(t.text); n > 1024 {
		t.text = t.text[n-1024:]
	}
	return len(b), nil
}

func (t *tail) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(t.text); text != "" {
		return errors.New(text)
	}
	return nil
}
