package step

import (
	"context"
	"fmt"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// Power cuts a machine's power, and gives it back to undo.
type Power struct {
	w       *World
	Machine string `json:"machine"`
	// WasOff: the machine was off before, and stays so when undone.
	WasOff bool `json:"wasOff,omitempty"`

	took time.Duration // from the cut until the last process was gone
}

// NewPower plans to cut a machine's power.
func (w *World) NewPower(machine string) fault.Step {
	return &Power{w: w, Machine: machine, WasOff: !w.Local.Powered(machine)}
}

// Mechanism is "power".
func (p *Power) Mechanism() string { return "power" }

// Touches the machine's power switch.
func (p *Power) Touches() []string { return []string{"power/" + p.Machine} }

// Inject cuts the power.
func (p *Power) Inject(ctx context.Context) (err error) {
	p.took, err = p.w.Local.PowerOff(ctx, p.Machine)
	return err
}

// Verify looks for the machine's first process.
func (p *Power) Verify(context.Context) (string, error) {
	if p.w.Local.Powered(p.Machine) {
		return "", fmt.Errorf("%s is still on", p.Machine)
	}
	after := ""
	if p.took > 0 {
		after = fmt.Sprintf(", %.1f ms after the cut", float64(p.took.Microseconds())/1000)
	}
	return "no process of " + p.Machine + " is left" + after, nil
}

// Undo switches the machine on again.
func (p *Power) Undo(ctx context.Context) error {
	if p.WasOff {
		return nil
	}
	return p.w.Local.PowerOn(ctx, p.Machine)
}

// State is the power switch's.
func (p *Power) State(context.Context) (map[string]string, error) {
	return p.w.powerSwitch(p.Machine), nil
}

// powerSwitch is the state of a machine's power switch, by name. One that hangs
// is on.
func (w *World) powerSwitch(name string) map[string]string {
	state := cluster.PowerOn
	if !w.Local.Powered(name) {
		state = cluster.PowerOff
	}
	return map[string]string{"power of " + name: string(state)}
}
