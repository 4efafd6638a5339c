package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/cluster/local/machine/boot"
	"zdl/internal/fault"
)

// MemberLoss takes the data of an etcd member away and kills it, as a replaced
// disk does. kubelet starts it again, empty; its peers know that this member was
// there before and refuse it ("has already been bootstrapped"), so it starts and
// ends again and again until it has its data back.
type MemberLoss struct {
	w       *World
	Machine string `json:"machine"`
	Kept    string `json:"kept"`  // name that the data have meanwhile, beside their own
	Inode   uint64 `json:"inode"` // of the directory with the data
}

const (
	etcdDir    = "/var/lib/etcd"
	memberName = "member"
)

// NewMemberLoss plans to take the data of a control plane's etcd member away.
func (w *World) NewMemberLoss(ctx context.Context, node, id string) (fault.Step, error) {
	m := &MemberLoss{w: w, Machine: node, Kept: "member.zdl-" + id}
	err := w.Local.WithFile(ctx, node, etcdDir, func(dir string) (err error) {
		m.Inode, err = inode(filepath.Join(dir, memberName))
		return err
	})
	return m, err
}

// Mechanism is "member-loss".
func (m *MemberLoss) Mechanism() string { return "member-loss" }

// Touches the member's data.
func (m *MemberLoss) Touches() []string { return []string{"etcd-data/" + m.Machine} }

// Inject renames the data and kills the process, which so never writes to the
// new place.
func (m *MemberLoss) Inject(ctx context.Context) error {
	err := m.w.Local.WithFile(ctx, m.Machine, etcdDir, func(dir string) error {
		now, err := inode(filepath.Join(dir, memberName))
		if errors.Is(err, fs.ErrNotExist) || err == nil && now != m.Inode {
			return nil // taken away before
		}
		if err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, memberName), filepath.Join(dir, m.Kept)); err != nil {
			return err
		}
		return syncDir(dir)
	})
	if err != nil {
		return err
	}
	// Also when they were taken away before: whoever did may have died then.
	_, err = m.killEtcd(ctx)
	return err
}

// killEtcd kills the member's process, waits for its end, and tells whether there
// was one.
func (m *MemberLoss) killEtcd(ctx context.Context) (ran bool, err error) {
	err = m.eachEtcd(func(p machine.Process) error {
		ran = true
		if err := p.Signal(unix.SIGKILL); err != nil {
			return err
		}
		return p.Gone(ctx)
	})
	return ran, err
}

// eachEtcd calls do for the member's process, if it runs.
func (m *MemberLoss) eachEtcd(do func(machine.Process) error) error {
	all, err := m.w.Local.Containers(m.Machine)
	if errors.Is(err, machine.ErrOff) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].Name != "etcd" || all[i].Sandbox {
			continue
		}
		p, err := m.w.Local.ContainerProcess(&all[i])
		if err == nil {
			err = do(p)
		}
		if err != nil && !errors.Is(err, machine.ErrGone) {
			return err
		}
	}
	return nil
}

// Verify asks the member, which must not serve, and looks at its directory.
func (m *MemberLoss) Verify(ctx context.Context) (string, error) {
	err := m.w.Local.WithFile(ctx, m.Machine, etcdDir, func(dir string) error {
		now, err := inode(filepath.Join(dir, m.Kept))
		if err == nil && now != m.Inode {
			err = fmt.Errorf("%s is not the member's directory", m.Kept)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := m.w.etcdFsyncs(ctx, m.Machine); err == nil {
		return "", fmt.Errorf("the etcd member on %s still answers", m.Machine)
	} else {
		return fmt.Sprintf("the data of the etcd member on %s are gone and it does not answer: %v", m.Machine, err), nil
	}
}

// Undo gives the data back. kubelet waits longer and longer between its attempts
// to start the member and would now wait minutes, so it is started anew: it
// remembers that in its memory only.
func (m *MemberLoss) Undo(ctx context.Context) error {
	restored := false
	err := m.w.Local.WithFile(ctx, m.Machine, etcdDir, func(dir string) error {
		member, kept := filepath.Join(dir, memberName), filepath.Join(dir, m.Kept)
		if now, err := inode(kept); errors.Is(err, fs.ErrNotExist) {
			return nil // never taken away, or given back
		} else if err != nil || now != m.Inode {
			return errors.Join(err, fmt.Errorf("%s of %s is not the member's directory", m.Kept, m.Machine))
		}
		if now, err := inode(member); err == nil && now == m.Inode {
			return fmt.Errorf("the data of %s are there twice", m.Machine)
		}
		restored = true
		// Twice: in between kubelet may start one that makes files again.
		for range 2 {
			if _, err := m.killEtcd(ctx); err != nil {
				return err
			}
			if err := os.RemoveAll(member); err != nil {
				return err
			}
		}
		if err := os.Rename(kept, member); err != nil {
			return err
		}
		return syncDir(dir)
	})
	if err != nil {
		return err
	}
	runs := false
	if restored { // one that began on nothing
		_, err = m.killEtcd(ctx)
	} else { // whoever gave them back may have died before the next line
		err = m.eachEtcd(func(machine.Process) error { runs = true; return nil })
	}
	if err != nil || runs {
		return err
	}
	return m.w.restartService(ctx, m.Machine, "kubelet")
}

// State is whose data the member has.
func (m *MemberLoss) State(ctx context.Context) (map[string]string, error) {
	state := map[string]string{}
	err := m.w.Local.WithFile(ctx, m.Machine, etcdDir, func(dir string) error {
		for _, name := range []string{memberName, m.Kept} {
			now, err := inode(filepath.Join(dir, name))
			what := "other than before"
			switch {
			case errors.Is(err, fs.ErrNotExist):
				what = "not there"
			case err != nil:
				return err
			case now == m.Inode:
				what = "the member's data"
			}
			state[filepath.Join(etcdDir, name)+" of "+m.Machine] = what
		}
		return nil
	})
	return state, err
}

func inode(path string) (uint64, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return st.Sys().(*syscall.Stat_t).Ino, nil
}

// restartService restarts a service that runs. One that is stopped on purpose, or
// on a machine that is off, stays so.
func (w *World) restartService(ctx context.Context, name, service string) error {
	m, err := w.Local.Machine(name)
	if errors.Is(err, machine.ErrOff) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := m.Services(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Name == service && s.State != boot.Stopped && s.State != boot.Stopping {
			return m.RestartService(ctx, service)
		}
	}
	return nil
}
