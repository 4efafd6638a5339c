package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/fault"
)

// Link pulls the cable of one port of a machine at the switch. With Up and Down
// it is pulled and put back again and again.
type Link struct {
	w       *World
	Machine string        `json:"machine"`
	Port    string        `json:"port"`
	WasDown bool          `json:"wasDown,omitempty"` // and stays so when undone
	Down    time.Duration `json:"down,omitempty"`
	Up      time.Duration `json:"up,omitempty"`
}

// NewLink plans to pull a cable until it is undone.
func (w *World) NewLink(machine, port string) (fault.Step, error) {
	return w.newLink(machine, port, 0, 0)
}

// NewFlap plans to pull a cable for down, connect it for up, and so on.
func (w *World) NewFlap(machine, port string, down, up time.Duration) (fault.Step, error) {
	return w.newLink(machine, port, down, up)
}

func (w *World) newLink(machine, port string, down, up time.Duration) (fault.Step, error) {
	state, _, err := w.Local.Link(machine, port)
	if err != nil {
		return nil, err
	}
	if state == "absent" {
		return nil, fault.Refuse(fmt.Sprintf("%s is off, so it has no link.", machine), "power it on first")
	}
	return &Link{w: w, Machine: machine, Port: port, WasDown: state == "down", Down: down, Up: up}, nil
}

// Mechanism is "link".
func (l *Link) Mechanism() string { return "link" }

// Touches the cable.
func (l *Link) Touches() []string { return []string{"link/" + l.Machine + "/" + l.Port} }

// Inject pulls the cable, or sets the helper going that does.
func (l *Link) Inject(ctx context.Context) error {
	if !l.flaps() {
		return l.w.Local.SetLink(ctx, l.Machine, l.Port, false)
	}
	netns, bridge, port, err := l.w.Local.SwitchPort(l.Machine, l.Port)
	if err != nil {
		return err
	}
	return l.w.startHelper(l.Touches()[0], "linkflap", netns, fabric.Flap{Bridge: bridge, Port: port, Down: l.Down, Up: l.Up})
}

func (l *Link) flaps() bool { return l.Up > 0 }

// Verify looks at the carrier from inside the machine. Of a flapping link it waits
// for the first time that it is down.
func (l *Link) Verify(context.Context) (string, error) {
	if l.flaps() {
		if err := l.w.helperRuns(l.Touches()[0]); err != nil {
			return "", err
		}
	}
	state, carrier, err := l.w.Local.Link(l.Machine, l.Port)
	switch {
	case err != nil:
		return "", err
	case state == "absent":
		return l.Machine + " is off and has no link", nil
	case state == "up" || carrier:
		return "", fmt.Errorf("%s of %s is %s", l.Port, l.Machine, state)
	case l.flaps():
		return fmt.Sprintf("%s of %s lost its carrier for the first time; down for %v, up for %v", l.Port, l.Machine, l.Down, l.Up), nil
	}
	return fmt.Sprintf("%s of %s has no carrier", l.Port, l.Machine), nil
}

// Undo connects the cable. A machine that is off gets its links when it is
// powered on.
func (l *Link) Undo(ctx context.Context) error {
	if l.flaps() {
		l.w.stopHelper(l.Touches()[0])
	}
	err := l.w.Local.SetLink(ctx, l.Machine, l.Port, !l.WasDown)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// State is whether the cable is connected, and seen to be from the machine.
func (l *Link) State(context.Context) (map[string]string, error) {
	state, carrier, err := l.w.Local.Link(l.Machine, l.Port)
	if state == "up" && !carrier {
		state = "up without a carrier"
	}
	return map[string]string{fmt.Sprintf("link %s of %s", l.Port, l.Machine): state}, err
}
