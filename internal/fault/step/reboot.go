package step

import (
	"context"
	"errors"
	"fmt"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// Reboot cuts a machine's power and switches it on again. It is over when the
// machine has another boot id; the rest of coming back is the cluster's.
type Reboot struct {
	w       *World
	Machine string `json:"machine"`
	Before  string `json:"before"` // the boot id that it has when it is planned
}

// NewReboot plans to reboot a machine, which must be on.
func (w *World) NewReboot(name string) (fault.Step, error) {
	id, err := w.Local.BootID(name)
	return &Reboot{w: w, Machine: name, Before: id}, err
}

// Mechanism is "reboot".
func (r *Reboot) Mechanism() string { return "reboot" }

// Touches the machine's power switch.
func (r *Reboot) Touches() []string { return []string{"power/" + r.Machine} }

// Inject switches it off, unless that was done already, and on.
func (r *Reboot) Inject(ctx context.Context) error {
	id, err := r.w.Local.BootID(r.Machine)
	if err != nil && !errors.Is(err, machine.ErrOff) {
		return err
	}
	if id == r.Before {
		if _, err := r.w.Local.PowerOff(ctx, r.Machine); err != nil {
			return err
		}
	}
	return r.w.Local.PowerOn(ctx, r.Machine)
}

// Verify compares the boot ids.
func (r *Reboot) Verify(context.Context) (string, error) {
	id, err := r.w.Local.BootID(r.Machine)
	if err == nil && id == r.Before {
		err = fmt.Errorf("%s still has the boot id %s", r.Machine, id)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s has the boot id %s; it was %s", r.Machine, id, r.Before), nil
}

// Undo makes sure that a reboot that was interrupted ends with the machine on.
func (r *Reboot) Undo(ctx context.Context) error { return r.w.Local.PowerOn(ctx, r.Machine) }

// State is the power switch's.
func (r *Reboot) State(context.Context) (map[string]string, error) {
	return r.w.powerSwitch(r.Machine), nil
}
