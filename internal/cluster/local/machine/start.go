package machine

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/disk"
	"zdl/internal/cluster/local/machine/boot"
	"zdl/internal/niceness"
)

// Start boots a machine, or returns the one that runs already. It returns when
// the machine's root is built and its services are being started. What an
// interrupted Start or a crash left behind is removed first.
func Start(ctx context.Context, s Spec) (*Machine, error) {
	m, err := start(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("start machine %s: %w", s.Name, err)
	}
	return m, nil
}

func start(ctx context.Context, s Spec) (*Machine, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(s.RunDir, boot.RootDir), 0o700); err != nil {
		return nil, err
	}
	lock, err := acquire(ctx, s.RunDir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if m, err := Find(s.RunDir); !errors.Is(err, ErrOff) {
		return m, err
	}
	system, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	group := system.Group(s.Lab, s.Name)
	if err := sweep(ctx, group, s.image()); err != nil {
		return nil, err
	}
	plan, err := s.plan(ctx)
	if err != nil {
		return nil, err
	}
	if err := boot.WritePlan(s.RunDir, plan); err != nil {
		return nil, err
	}
	if err := group.Create(); err != nil {
		return nil, err
	}
	err = group.SetLimits(cgroup.Limits{Memory: s.Memory, CPUs: s.CPUs, Weight: s.Weight, PIDs: maxTasks})
	if err == nil {
		err = launch(ctx, s, lock)
	}
	if err != nil {
		return nil, errors.Join(err, sweep(context.WithoutCancel(ctx), group, s.image()))
	}
	return Find(s.RunDir)
}

func (s Spec) check() error {
	for _, part := range []string{s.Lab, s.Name} {
		if part == "" || strings.ContainsAny(part, "/\x00") || part[0] == '.' {
			return fmt.Errorf("%q is no name for a lab or a machine", part)
		}
	}
	for _, dir := range []string{s.StateDir, s.RunDir, s.InitBinary} {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("StateDir, RunDir and InitBinary must be absolute paths, got %q", dir)
		}
	}
	for _, v := range s.Services {
		if v.Name == "" || len(v.Argv) == 0 || !filepath.IsAbs(v.Argv[0]) {
			return fmt.Errorf("service %q needs a name and a command with an absolute path", v.Name)
		}
	}
	return nil
}

func (s Spec) image() string {
	if s.Disk == nil {
		return ""
	}
	return s.Disk.Image
}

// plan makes what lasts, the disk and the machine-id, and writes down the rest.
func (s Spec) plan(ctx context.Context) (*boot.Plan, error) {
	if err := os.MkdirAll(s.StateDir, 0o700); err != nil {
		return nil, err
	}
	machineID, err := machineID(filepath.Join(s.StateDir, "machine-id"))
	if err != nil {
		return nil, err
	}
	if s.Disk != nil {
		err := disk.Prepare(ctx, disk.Image{Path: s.Disk.Image, Template: s.Disk.Template, Size: s.Disk.Size})
		if err != nil {
			return nil, err
		}
	}
	return &boot.Plan{
		Lab: s.Lab, Name: s.Name, MachineID: machineID, BootID: newBootID(), InitBinary: s.InitBinary,
		Memory: s.Memory, CPUs: s.CPUs, Disk: s.image(),
		Binds: s.Binds, Files: s.Files, Services: s.Services, Hosts: s.Hosts,
	}, nil
}

// machineID reads the id that the machine was given when it was new.
func machineID(path string) (string, error) {
	b, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(b)); err == nil && len(id) == 32 {
		return id, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := strings.ReplaceAll(newBootID(), "-", "")
	return id, os.WriteFile(path, []byte(id+"\n"), 0o644)
}

// newBootID is a random UUID (RFC 9562, version 4).
func newBootID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// launch starts the first process and waits for its word.
func launch(ctx context.Context, s Spec, lock *os.File) error {
	log, err := os.OpenFile(logPath(s.RunDir), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	ready, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(s.InitBinary, "boot", s.RunDir)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{boot.ReadyFD - 3: told, boot.LockFD - 3: lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // it is nobody's child that a hang-up could reach
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	if s.NetNS == "" {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	}
	err = inNetNS(s.NetNS, cmd.Start)
	told.Close()
	if err != nil {
		return fmt.Errorf("start its first process: %w", err)
	}
	// Lives as long as the machine or this program, and frees the process's
	// entry when the machine dies first.
	gone := make(chan struct{})
	go func() { defer close(gone); _ = cmd.Wait() }()
	kill := func() { _ = cmd.Process.Kill(); <-gone }

	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	line, err := bufio.NewReader(ready).ReadBytes('\n')
	if ctx.Err() != nil {
		kill()
		return ctx.Err()
	}
	var answer boot.Ready
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err != nil || answer.Error != "" {
		kill()
		out, _ := os.ReadFile(logPath(s.RunDir))
		return fmt.Errorf("its first process did not boot: %s", strings.TrimSpace(string(out)))
	}
	return nil
}

// inNetNS calls start on a thread in the network namespace at path. A thread
// that cannot come back is thrown away: its goroutine ends locked to it.
func inNetNS(path string, start func() error) error {
	if path == "" {
		return start()
	}
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			home, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			defer home.Close()
			there, err := os.Open(path)
			if err != nil {
				return err
			}
			defer there.Close()
			if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", path, err)
			}
			// A machine does not inherit the urgency of whoever starts it.
			err = niceness.During(0, start)
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			return err
		}()
	}()
	return <-result
}

func logPath(runDir string) string { return filepath.Join(runDir, boot.LogFile) }
