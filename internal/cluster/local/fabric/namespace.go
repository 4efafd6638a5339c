package fabric

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// ownNetNS is the network namespace of the calling thread. Not /proc/self,
// which is the main thread's.
const ownNetNS = "/proc/thread-self/ns/net"

// makeNamespace makes a network namespace that is bound to path, with the given
// sysctls set before anyone can find it. If there is one already it stays,
// and gets the sysctls. Whoever dies half-way leaves an empty file, over which the
// next call binds.
func makeNamespace(path string, sysctls []sysctl) error {
	bound, err := isNamespace(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if bound {
		return inNamespace(path, func() error { return apply(sysctls) })
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	file.Close()
	err = onSpareThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := apply(sysctls); err != nil {
			return err
		}
		if err := unix.Mount(ownNetNS, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind to %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("make network namespace: %w", err)
	}
	return nil
}

// removeNamespace takes away the binding and its file; neither need be there.
func removeNamespace(path string) error {
	for {
		// A file may have been bound over more than once.
		err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // not a mount point (any more)
		}
		if err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// isNamespace tells whether a namespace is bound to path.
func isNamespace(path string) (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return false, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return s.Type == unix.NSFS_MAGIC, nil
}

// openNamespace opens the namespace bound to path. A plain file there, left by a
// maker that died, counts as none: os.ErrNotExist.
func openNamespace(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	if s.Type != unix.NSFS_MAGIC {
		unix.Close(fd)
		return -1, &os.PathError{Op: "open network namespace", Path: path, Err: unix.ENOENT}
	}
	return fd, nil
}

// inNamespace runs do on a thread that is in the namespace bound to path and
// comes back from it. do must not block for long and must not start goroutines
// that rely on the namespace; sockets it opens stay in it.
func inNamespace(path string, do func() error) error {
	target, err := openNamespace(path)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	runtime.LockOSThread()
	own, err := unix.Open(ownNetNS, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return &os.PathError{Op: "open", Path: ownNetNS, Err: err}
	}
	defer unix.Close(own)
	if err := unix.Setns(target, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	result := do()
	if err := unix.Setns(own, unix.CLONE_NEWNET); err != nil {
		// A thread in the wrong namespace must not run anything else. It stays
		// locked, so the runtime ends it with its goroutine.
		return errors.Join(result, fmt.Errorf("leave network namespace %s: %w", path, err))
	}
	runtime.UnlockOSThread()
	return result
}

// onSpareThread runs do on a thread that ends afterwards, whatever namespaces it
// is in by then.
func onSpareThread(do func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end: the runtime would park it for ever, with
			// /proc/self/ns/net in the new namespace. Hold it while another one does
			// the work.
			result <- onSpareThread(do)
			runtime.UnlockOSThread()
			return
		}
		result <- do()
	}()
	return <-result
}
