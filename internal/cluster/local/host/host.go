// Package host prepares the host as a whole for labs, and puts everything back
// with the last of them. What it changed is written down in the run root before
// it is changed, so that a program killed in between loses no old value.
package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// minimum is what a lab needs of limits that all its machines share with the
// host. A limit that is higher already stays as it is.
var minimum = map[string]int64{
	// A control-plane node uses 23 inotify instances, a worker 10 and each pod
	// two more (measured); the kernel's default is 128 for all of them.
	"fs/inotify/max_user_instances": 8192,
	"fs/inotify/max_user_watches":   524288,
	// Entries of all machines' neighbour tables count together, and the host's
	// limits apply to all (net/core/neighbour.c); the default is 1024.
	"net/ipv4/neigh/default/gc_thresh2": 4096,
	"net/ipv4/neigh/default/gc_thresh3": 8192,
	"net/ipv6/neigh/default/gc_thresh2": 4096,
	"net/ipv6/neigh/default/gc_thresh3": 8192,
	// Shared by root's key rings of all machines; containers take one each.
	"kernel/keys/root_maxkeys":  1000000,
	"kernel/keys/root_maxbytes": 25000000,
}

// dirName is below the run root. A lab's name cannot begin with a dot.
const dirName = ".host"

// change is one raised limit.
type change struct{ Old, New int64 }

// record is what was changed, and during which boot of the host: after another
// one there is nothing to put back.
type record struct {
	Boot    string
	Changes map[string]change // path below /proc/sys → values
}

// Host is a host, given by the places where it is found.
type Host struct {
	RunRoot string // where labs keep what lasts until a reboot
	Sysctls string // "" means /proc/sys
}

// Acquire raises what the host limits too low for a lab, on behalf of the lab
// of that name, until the Release of the last one. It is idempotent.
func (h Host) Acquire(lab string) error {
	return h.locked(func(dir string) error {
		rec, err := readRecord(dir)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "lab-"+lab), nil, 0o600); err != nil {
			return err
		}
		for name, want := range minimum {
			have, err := h.get(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // not in this kernel
			}
			if err != nil {
				return err
			}
			if have >= want {
				continue
			}
			if _, ok := rec.Changes[name]; !ok {
				rec.Changes[name] = change{Old: have, New: want}
			}
		}
		// First the note, then the deed.
		if err := writeRecord(dir, rec); err != nil {
			return err
		}
		for name, c := range rec.Changes {
			if have, err := h.get(name); err == nil && have < c.New {
				if err := h.set(name, c.New); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Release gives up what Acquire did for the lab; the last one puts the old
// values back, except where somebody else set another one meanwhile. It is
// idempotent, and of no effect for a lab that never acquired.
func (h Host) Release(lab string) error {
	if _, err := os.Stat(filepath.Join(h.RunRoot, dirName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return h.locked(func(dir string) error {
		rec, err := readRecord(dir)
		if err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(dir, "lab-"+lab)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if others, err := filepath.Glob(filepath.Join(dir, "lab-*")); err != nil || len(others) > 0 {
			return err
		}
		for name, c := range rec.Changes {
			if have, err := h.get(name); err != nil || have != c.New {
				continue
			}
			if err := h.set(name, c.Old); err != nil {
				return err
			}
		}
		return os.RemoveAll(dir)
	})
}

// locked runs f while no other program does the same. A record of an earlier
// boot is thrown away first.
func (h Host) locked(f func(dir string) error) error {
	dir := filepath.Join(h.RunRoot, dirName)
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the last lab took the directory away in between
		}
		if err != nil {
			return err
		}
		if err := flock(lock); err != nil {
			lock.Close()
			return fmt.Errorf("lock %s: %w", dir, err)
		}
		if !current(lock) {
			lock.Close()
			continue
		}
		err = forgetOtherBoots(dir)
		if err == nil {
			err = f(dir)
		}
		lock.Close()
		if err != nil {
			return fmt.Errorf("prepare the host: %w", err)
		}
		return nil
	}
}

func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// current reports whether the open lock still has its name.
func current(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
}

func forgetOtherBoots(dir string) error {
	rec, err := readRecord(dir)
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil || rec.Boot == boot {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "lab-*"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	return writeRecord(dir, record{Boot: boot})
}

const recordFile = "sysctls.json"

func readRecord(dir string) (record, error) {
	rec := record{}
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return rec, err
	}
	if err == nil {
		if err := json.Unmarshal(b, &rec); err != nil {
			return rec, fmt.Errorf("%s: %w", filepath.Join(dir, recordFile), err)
		}
	}
	if rec.Changes == nil {
		rec.Changes = map[string]change{}
	}
	return rec, nil
}

func writeRecord(dir string, rec record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, recordFile)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

func (h Host) path(name string) string {
	if h.Sysctls == "" {
		return filepath.Join("/proc/sys", name)
	}
	return filepath.Join(h.Sysctls, name)
}

func (h Host) get(name string) (int64, error) {
	b, err := os.ReadFile(h.path(name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

func (h Host) set(name string, value int64) error {
	if err := os.WriteFile(h.path(name), []byte(strconv.FormatInt(value, 10)), 0o644); err != nil {
		return fmt.Errorf("set %s to %d: %w", strings.ReplaceAll(name, "/", "."), value, err)
	}
	return nil
}
