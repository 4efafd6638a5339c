package step

import (
	"context"
	"fmt"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// Power cuts a machine's power, and gives it back to undo.
type Power struct {
	w       *World
	Machine string `json:"machine"`
	// WasOff: the machine was off before, and stays so when undone.
	WasOff bool `json:"wasOff,omitempty"`
}

// NewPower plans to cut a machine's power.
func (w *World) NewPower(machine string) fault.Step {
	return &Power{w: w, Machine: machine, WasOff: w.Local.PowerState(machine) == cluster.PowerOff}
}

// Mechanism is "power".
func (p *Power) Mechanism() string { return "power" }

// Touches the machine's power switch.
func (p *Power) Touches() []string { return []string{"power/" + p.Machine} }

// Inject cuts the power.
func (p *Power) Inject(ctx context.Context) error {
	_, err := p.w.Local.PowerOff(ctx, p.Machine)
	return err
}

// Verify looks for the machine's first process.
func (p *Power) Verify(context.Context) (string, error) {
	if state := p.w.Local.PowerState(p.Machine); state != cluster.PowerOff {
		return "", fmt.Errorf("%s is still %s", p.Machine, state)
	}
	return "no process of " + p.Machine + " is left", nil
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
	return map[string]string{"power of " + p.Machine: string(p.w.Local.PowerState(p.Machine))}, nil
}
