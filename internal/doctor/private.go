package doctor

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inPrivate runs a function on a thread that has its own mount and network
// namespace. The thread ends with the function, and with it everything in
// these namespaces: nothing has to be undone. Processes started by the
// function are in them too.
func inPrivate(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("unshare mount and network namespace: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("make mounts private: %w", err)
			}
			return f()
		}()
	}()
	return <-done
}

// tryNamespaces starts a process in all the namespaces that a node has.
func tryNamespaces() error {
	path := lookAny("true")
	if path == "" {
		return fmt.Errorf("no program to try it with")
	}
	cmd := exec.Command(path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
		syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWCGROUP}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w%s", err, tail(out))
	}
	return nil
}

// run runs a program with some standard input and returns its complaint.
func run(input string, argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w%s", argv[0], err, tail(out))
	}
	return nil
}

// tail is the first line of an output, to be put behind an error.
func tail(out []byte) string {
	s, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if s != "" {
		s = ": " + s
	}
	return s
}

// exists tells whether a path is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
