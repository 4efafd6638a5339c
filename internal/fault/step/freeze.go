package step

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// Freeze stops every process of a control group where it stands: a machine's, a
// pod's or a container's. Nothing dies and no connection is closed; kernels
// still acknowledge packets, but nobody answers.
type Freeze struct {
	w       *World
	Machine string `json:"machine"`
	// Group is the control group as the machine sees it; "" is the machine's.
	Group string `json:"group,omitempty"`
	What  string `json:"what"` // in words: "web/web-1"

	took time.Duration
}

// NewMachineFreeze plans to make a whole machine hang.
func (w *World) NewMachineFreeze(name string) fault.Step {
	return &Freeze{w: w, Machine: name, What: "the machine"}
}

// NewPodFreeze plans to freeze the pod that a container belongs to. What the
// kubelet starts in the pod meanwhile is frozen, too.
func (w *World) NewPodFreeze(c *local.Container) fault.Step {
	return &Freeze{w: w, Machine: c.Machine, Group: c.PodGroup(), What: c.Namespace + "/" + c.Pod}
}

// NewContainerFreeze plans to freeze one container.
func (w *World) NewContainerFreeze(c *local.Container) fault.Step {
	return &Freeze{w: w, Machine: c.Machine, Group: c.Group, What: fmt.Sprintf("container %s of %s/%s", c.Name, c.Namespace, c.Pod)}
}

// Mechanism is "freeze".
func (f *Freeze) Mechanism() string { return "freeze" }

// Touches the group's freezer.
func (f *Freeze) Touches() []string { return []string{"freezer/" + f.Machine + f.Group} }

// Inject freezes, and returns when everything stands still.
func (f *Freeze) Inject(ctx context.Context) error {
	begin := time.Now()
	freezer, err := f.w.Local.Freezer(f.Machine, f.Group)
	if err != nil {
		return err
	}
	if !freezer.Exists() {
		return fmt.Errorf("%s on %s is gone", f.What, f.Machine)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = freezer.Freeze(ctx)
	f.took = time.Since(begin)
	return err
}

// Verify reads the state of the group from the kernel.
func (f *Freeze) Verify(context.Context) (string, error) {
	freezer, err := f.w.Local.Freezer(f.Machine, f.Group)
	if err != nil {
		return "", err
	}
	frozen, err := freezer.Frozen()
	if err != nil {
		return "", err
	}
	if !frozen {
		return "", fmt.Errorf("%s on %s is not frozen", f.What, f.Machine)
	}
	return fmt.Sprintf("the kernel says of %s on %s: frozen, after %.1f ms", f.What, f.Machine, float64(f.took.Microseconds())/1000), nil
}

// Undo thaws. A group that is gone, with its machine or without, is not frozen.
func (f *Freeze) Undo(ctx context.Context) error {
	freezer, err := f.w.Local.Freezer(f.Machine, f.Group)
	if errors.Is(err, machine.ErrOff) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := freezer.Thaw(ctx); err != nil && freezer.Exists() {
		return err
	}
	return nil
}

// State tells whether the group itself is told to freeze.
func (f *Freeze) State(context.Context) (map[string]string, error) {
	asked := false
	freezer, err := f.w.Local.Freezer(f.Machine, f.Group)
	if err == nil {
		asked, err = freezer.Asked()
	} else if errors.Is(err, machine.ErrOff) {
		err = nil
	}
	state := map[bool]string{true: "frozen", false: "running"}[asked]
	return map[string]string{fmt.Sprintf("freezer of %s on %s", f.What, f.Machine): state}, err
}
