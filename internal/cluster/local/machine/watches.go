package machine

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// mostWatches bounds how many descriptors are held. A node has about thirty.
const mostWatches = 256

// holdWatches takes a second descriptor of every inotify instance of processes
// that are about to die. Whoever closes the last one waits for the kernel to
// finish with its watches, some ten milliseconds each and one after the other
// (fsnotify_destroy_group in fs/notify/group.c): a kubelet would take a tenth of
// a second to end. release closes them, all at once and without waiting.
func holdWatches(pids []int) (release func()) {
	var held []int
	for _, pid := range pids {
		held = append(held, watchesOf(pid, mostWatches-len(held))...)
	}
	return func() {
		for _, fd := range held {
			go unix.Close(fd)
		}
	}
}

// watchesOf duplicates up to limit inotify descriptors of a process. What cannot
// be had only makes the end slower.
func watchesOf(pid, limit int) []int {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	process := -1
	var held []int
	link := make([]byte, 32)
	for _, name := range names {
		n, err := unix.Readlinkat(int(dir.Fd()), name, link)
		if err != nil || string(link[:n]) != "anon_inode:inotify" {
			continue
		}
		if process < 0 {
			if process, err = unix.PidfdOpen(pid, 0); err != nil {
				return nil
			}
			defer unix.Close(process)
		}
		number, _ := strconv.Atoi(name)
		if fd, err := unix.PidfdGetfd(process, number, 0); err == nil {
			unix.CloseOnExec(fd)
			held = append(held, fd)
		}
		if len(held) >= limit {
			break
		}
	}
	return held
}
