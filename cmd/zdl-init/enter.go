package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine/boot"
)

// Exit codes of enter itself, as shells use them.
const (
	exitCannotEnter = 125 // the machine is off, or cannot be entered
	exitCannotRun   = 126
	exitNotFound    = 127
	exitSignaled    = 128 // plus the signal's number
)

// enter runs a command inside a machine: in its control groups, its namespaces
// and its root. This process stays outside, passes signals on and ends as the
// command did. args are RUNDIR -- ARGV….
func enter(args []string) int {
	if len(args) < 3 || args[1] != "--" {
		fmt.Fprintln(os.Stderr, "usage: zdl-init enter RUNDIR -- COMMAND…")
		return exitCannotEnter
	}
	if err := goInside(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitCannotEnter
	}
	// Everything below happens in the machine's root.
	program, err := exec.LookPath(args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitNotFound
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	pid, err := syscall.ForkExec("/proc/self/exe", append([]string{"zdl-init", "inside", program}, args[2:]...),
		&syscall.ProcAttr{Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		return exitCannotRun
	}
	go passOn(signals, pid)
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return exitCannotRun
		case status.Stopped():
			// Stop as well, so that a shell's job control sees it; go on together.
			_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
			_ = unix.Kill(pid, unix.SIGCONT)
		case status.Signaled():
			return exitSignaled + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// inside is the other half: already in the machine, it makes sure that it ends
// with its parent outside (whoever kills that means the command), and becomes
// the command. Go's Pdeathsig cannot do it: it takes a parent in another PID
// namespace for a dead one.
func inside(program string, argv []string) int {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitCannotRun
	}
	if unix.Getppid() != 0 { // the parent died already; a living one is out of sight
		return exitCannotRun
	}
	err := unix.Exec(program, argv, os.Environ())
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	return exitCannotRun
}

// goInside moves this thread into the machine; children follow it.
func goInside(runDir string) error {
	mark, err := boot.ReadMark(runDir)
	if err != nil || !mark.Alive() {
		return fmt.Errorf("the machine of %s is off", runDir)
	}
	plan, err := boot.ReadPlan(runDir)
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(mark.PID, 0)
	if err != nil {
		return fmt.Errorf("machine %s: %w", plan.Name, err)
	}
	defer unix.Close(pidfd)
	if !mark.Alive() { // its number was given to another process meanwhile
		return fmt.Errorf("machine %s is off", plan.Name)
	}
	system, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if err := system.Group(plan.Lab, plan.Name).Join(); err != nil {
		return err
	}
	// A mount namespace wants a thread that shares its root with no other.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	if err := unix.Setns(pidfd, all); err != nil {
		return fmt.Errorf("enter the namespaces of machine %s: %w", plan.Name, err)
	}
	// A machine that still boots has the host's root.
	if booted, err := os.ReadFile(bootedFile); err != nil || string(booted) != plan.BootID {
		return fmt.Errorf("machine %s has not booted yet", plan.Name)
	}
	return nil
}

// passOn hands signals to the command. Those that a terminal sends, it sends
// to the command as well: passing them on would double them.
func passOn(signals <-chan os.Signal, pid int) {
	for s := range signals {
		switch s {
		case boot.KillSignal:
			s = unix.SIGKILL
		case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU, unix.SIGTSTP, unix.SIGCONT:
			continue
		case unix.SIGINT, unix.SIGQUIT, unix.SIGWINCH:
			if foreground() {
				continue
			}
		}
		_ = unix.Kill(pid, s.(syscall.Signal))
	}
}

// foreground reports whether this process belongs to the foreground group of
// its terminal.
func foreground() bool {
	group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
