package shape

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Config is what a helper process is told, as JSON in the first line of its input.
type Config struct {
	Links []Link `json:"links"`
}

// Answer is a line of a helper's output.
type Answer struct {
	// Ready: the shaping is in force. It is the answer to Config.
	Ready bool `json:"ready,omitempty"`
	// Relayed: frames go through the helper; otherwise the kernel's netem has them.
	Relayed bool `json:"relayed,omitempty"`
	// Released: the shaping is over. It is the answer to Release.
	Released bool   `json:"released,omitempty"`
	Error    string `json:"error,omitempty"`

	Ingress Stats `json:"ingress,omitzero"` // with every answer
	Egress  Stats `json:"egress,omitzero"`
}

// Orders that a helper understands, each a line of its input.
const (
	OrderStats   = "stats"   // say what happened so far
	OrderRelease = "release" // end the shaping; the helper ends with its input
)

// stall is how long a relay may stand still. A busy machine makes it late by
// some milliseconds; a relay that is late by this much holds up a dead link.
const stall = 2 * time.Second

// Serve is a helper process: it shapes what the first line of in says, answers
// orders on out, and takes everything back when in ends, as it does when the
// process that holds the other end dies. It returns an error when the shaping
// could not be, or when it stands still and this process must end at once.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var c Config
	if err := json.Unmarshal(line, &c); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	answers := json.NewEncoder(out)
	s, err := Start(c.Links)
	if err != nil {
		return errors.Join(err, answers.Encode(Answer{Error: err.Error()}))
	}
	if err := answers.Encode(Answer{Ready: true, Relayed: s.Relayed()}); err != nil {
		return errors.Join(err, s.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			order, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			a := Answer{Relayed: s.Relayed()}
			if order == OrderRelease+"\n" {
				a.Released = true
				if err := s.Release(); err != nil {
					a.Released, a.Error = false, err.Error()
				}
			}
			a.Ingress, a.Egress = s.Stats()
			if answers.Encode(a) != nil {
				return
			}
		}
	}()
	watch, stop := context.WithCancel(ctx)
	defer stop()
	stalled := make(chan error, 1)
	go func() { stalled <- s.Watch(watch, stall) }()
	select {
	case <-ended:
		stop()
		<-stalled
		return s.Close()
	case err := <-stalled:
		if err == nil { // the caller has had enough
			return s.Close()
		}
		return err
	}
}
