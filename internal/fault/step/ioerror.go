package step

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/disk"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// DiskError makes a node's disk refuse everything with EIO, as one that broke
// does. Only a power cycle of the machine brings it back.
type DiskError struct {
	w       *World
	Machine string `json:"machine"`
	Boot    string `json:"boot"` // the boot of the machine whose disk is broken
}

// NewDiskError plans to break a node's disk.
func (w *World) NewDiskError(name string) (fault.Step, error) {
	m, err := w.Local.Machine(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &DiskError{w: w, Machine: name, Boot: m.BootID()}, nil
}

// Mechanism is "disk-error".
func (d *DiskError) Mechanism() string { return "disk-error" }

// Touches the disk, and the power switch with which it is undone.
func (d *DiskError) Touches() []string {
	return []string{"disk/" + d.Machine, "power/" + d.Machine}
}

// Inject shuts the file system down.
func (d *DiskError) Inject(context.Context) error {
	m, err := d.w.Local.Machine(d.Machine)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Machine, err)
	}
	if m.BootID() != d.Boot {
		return fmt.Errorf("%s was booted again meanwhile", d.Machine)
	}
	if writeTo(m.Path("/var")) == unix.EIO {
		return nil
	}
	// The root of another mount than the disk would be a wrong one to break.
	if n, err := loopOf(m.Path("/var")); err != nil || n == "" {
		return fmt.Errorf("/var of %s is not its own disk: %w", d.Machine, err)
	}
	dir, err := os.Open(m.Path("/var"))
	if err != nil {
		return err
	}
	defer dir.Close()
	return disk.Shutdown(dir)
}

// Verify tries to write.
func (d *DiskError) Verify(context.Context) (string, error) {
	m, err := d.w.Local.Machine(d.Machine)
	if err != nil {
		return "", fmt.Errorf("%s: %w", d.Machine, err)
	}
	switch err := writeTo(m.Path("/var")); {
	case err == nil:
		return "", fmt.Errorf("the disk of %s still takes writes", d.Machine)
	case err != unix.EIO:
		return "", err
	}
	return fmt.Sprintf("a write to the disk of %s is refused: %v", d.Machine, unix.EIO), nil
}

// Undo cuts the power and gives it back, unless that has happened since. A
// machine that is off has a good disk at its next boot.
func (d *DiskError) Undo(ctx context.Context) error {
	m, err := d.w.Local.Machine(d.Machine)
	if errors.Is(err, machine.ErrOff) && d.w.Local.SwitchedOff(d.Machine) {
		return nil // by a person; and an undo that died in between is caught below
	}
	if err == nil && (m.BootID() != d.Boot || writeTo(m.Path("/var")) != unix.EIO) {
		return nil
	}
	if err == nil {
		err = d.w.Local.PowerCycle(ctx, d.Machine)
	} else if errors.Is(err, machine.ErrOff) {
		err = d.w.Local.PowerOn(ctx, d.Machine)
	}
	return err
}

// State tells whether the disk takes writes.
func (d *DiskError) State(context.Context) (map[string]string, error) {
	state := "sound"
	if m, err := d.w.Local.Machine(d.Machine); err == nil && writeTo(m.Path("/var")) == unix.EIO {
		state = "broken"
	}
	return map[string]string{
		"disk of " + d.Machine:  state,
		"power of " + d.Machine: string(d.w.Local.PowerState(d.Machine)),
	}, nil
}

// writeTo tries to write to a directory's file system, and leaves nothing there.
func writeTo(dir string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// loopOf names the loop device, as "7:3", on which a directory is mounted; "" when
// it is no mount of one.
func loopOf(dir string) (string, error) {
	var at, above unix.Stat_t
	if err := unix.Stat(dir, &at); err != nil {
		return "", err
	}
	if err := unix.Stat(filepath.Dir(dir), &above); err != nil {
		return "", err
	}
	const loopMajor = 7
	if at.Dev == above.Dev || unix.Major(at.Dev) != loopMajor {
		return "", nil
	}
	return fmt.Sprintf("%d:%d", loopMajor, unix.Minor(at.Dev)), nil
}
