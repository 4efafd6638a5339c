// Command zdl-init is the first process of a machine of the lab: it builds the
// machine's own view of files, devices and control groups, starts its services
// and keeps them running, reaps what they leave, and takes everything with it
// when it dies. It also lets commands enter a running machine.
//
// People do not call it; zdl does:
//
//	zdl-init boot RUNDIR          first process, in new namespaces
//	zdl-init become RUNDIR        the same process once it is in its control groups
//	zdl-init enter RUNDIR -- ARGV…  run a command in a running machine
//	zdl-init inside PROGRAM ARGV… its half in the machine
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine/boot"
)

func init() {
	// Namespaces belong to threads. The main goroutine stays on the first one.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) >= 3 {
		switch runDir := os.Args[2]; os.Args[1] {
		case "boot":
			fail(joinAndBecome(runDir))
		case "become":
			if err := become(runDir); err != nil {
				fail(err)
			}
			return
		case "enter":
			os.Exit(enter(os.Args[2:]))
		case "inside":
			os.Exit(inside(os.Args[2], os.Args[3:]))
		}
	}
	fmt.Fprintln(os.Stderr, "zdl-init is started by zdl, not by hand")
	os.Exit(2)
}

// joinAndBecome leaves the mark, moves to the machine's control groups and
// becomes this program again with them as its root. It returns only an error.
func joinAndBecome(runDir string) error {
	plan, err := boot.ReadPlan(runDir)
	if err != nil {
		return err
	}
	if err := boot.MarkSelf(runDir, plan.BootID); err != nil {
		return err
	}
	system, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if err := system.Group(plan.Lab, plan.Name).Join(); err != nil {
		return err
	}
	// Only this thread gets the new namespace; execve then makes it the
	// process's only thread.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("make a cgroup namespace: %w", err)
	}
	return unix.Exec("/proc/self/exe", []string{"zdl-init", "become", runDir}, os.Environ())
}

// become makes the machine and serves it until it is killed.
func become(runDir string) error {
	runtime.UnlockOSThread()
	unix.Umask(0o022)
	unix.CloseOnExec(boot.ReadyFD)
	unix.CloseOnExec(boot.LockFD)
	plan, err := boot.ReadPlan(runDir)
	if err != nil {
		return err
	}
	// The socket is made while the host's directory is still in reach.
	control, err := listen(runDir)
	if err != nil {
		return err
	}
	if err := buildRoot(runDir, plan); err != nil {
		return fmt.Errorf("build the root of %s: %w", plan.Name, err)
	}
	if err := writeFiles(plan); err != nil {
		return fmt.Errorf("write the files of %s: %w", plan.Name, err)
	}
	if err := unix.Sethostname([]byte(plan.Name)); err != nil {
		return err
	}
	if err := os.WriteFile(bootedFile, []byte(plan.BootID), 0o600); err != nil {
		return err
	}
	s := newSupervisor(plan.Services)
	s.start()
	go serveControl(control, s)
	tell(boot.Ready{})
	unix.Close(boot.LockFD)
	s.reap() // for ever
	return nil
}

// tell answers the starter. One that died meanwhile does not matter: the
// machine is found by its mark.
func tell(r boot.Ready) {
	b, _ := json.Marshal(r)
	_, _ = unix.Write(boot.ReadyFD, append(b, '\n'))
	unix.Close(boot.ReadyFD)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	tell(boot.Ready{Error: err.Error()})
	os.Exit(1)
}
