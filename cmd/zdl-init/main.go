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
//	zdl-init shape               a helper of faults: makes links worse until its input ends
//	zdl-init stress -             a helper of a fault: package stress
//	zdl-init stress-inside -      its half in the control group and PID namespace
//	zdl-init linkflap NETNS       helpers of faults: see help.go
//	zdl-init dns NETNS
//	zdl-init tcpdelay NETNS
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine/boot"
)

// bootLimit bounds a boot. A slow one takes a second.
const bootLimit = 30 * time.Second

func init() {
	// Namespaces belong to threads. The main goroutine stays on the first one.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "shape" {
		os.Exit(shapeLinks())
	}
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
		case "stress":
			os.Exit(stressKeeper())
		case "stress-inside":
			os.Exit(stressInside())
		case "dns":
			os.Exit(dns(os.Args[2]))
		case "tcpdelay":
			os.Exit(tcpdelay(os.Args[2]))
		case "linkflap":
			os.Exit(linkflap(os.Args[2]))
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
	_ = unix.Prctl(unix.PR_SET_NAME, nameOf("zdl-init"), 0, 0, 0) // it would be "exe" otherwise
	runtime.UnlockOSThread()
	unix.Umask(0o022)
	openFiles()
	unix.CloseOnExec(boot.ReadyFD)
	unix.CloseOnExec(boot.LockFD)
	// A boot that hangs would hold the lock, and so keep everybody from ending it.
	watchdog := time.AfterFunc(bootLimit, func() { fail(fmt.Errorf("not booted after %v", bootLimit)) })
	plan, err := boot.ReadPlan(runDir)
	if err != nil {
		return err
	}
	// The socket is made while the host's directory is still in reach.
	control, err := listen(runDir)
	if err != nil {
		return err
	}
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if err := buildRoot(runDir, plan, groups); err != nil {
		return fmt.Errorf("build the root of %s: %w", plan.Name, err)
	}
	if err := writeFiles(plan); err != nil {
		return fmt.Errorf("write the files of %s: %w", plan.Name, err)
	}
	if err := unix.Sethostname([]byte(plan.Name)); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring up lo: %w", err)
	}
	if err := os.WriteFile(bootedFile, []byte(plan.BootID), 0o600); err != nil {
		return err
	}
	s := newSupervisor(plan.Services)
	s.start()
	go serveControl(control, s)
	if plan.Memory > 0 {
		go followMemory(groups, plan.Memory)
	}
	watchdog.Stop()
	tell(boot.Ready{})
	unix.Close(boot.LockFD)
	s.reap() // for ever
	return nil
}

func nameOf(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s + "\x00"))) }

// loopbackUp brings up lo, which is down in a new network namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// openFiles raises the limit of open files to what is allowed. Setting it by
// hand also keeps Go from giving children the old one.
func openFiles() {
	const wanted = 1 << 20 // what containerd's unit asks for, in effect
	if syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: wanted, Max: wanted}) == nil {
		return
	}
	var have syscall.Rlimit
	if syscall.Getrlimit(unix.RLIMIT_NOFILE, &have) == nil {
		_ = syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: have.Max, Max: have.Max})
	}
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
