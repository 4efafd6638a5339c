package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lock takes an exclusive lock on a file without waiting. The kernel drops it
// when the process ends, however it ends.
func lock(path string) (*os.File, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // a zdl down removed the directory in between
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, errLocked
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// The last holder may have removed the file after we opened it.
		mine, err := file.Stat()
		if err == nil {
			if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
				return file, nil
			}
		}
		file.Close()
	}
}

var errLocked = errors.New("another process holds the lock")

// daemonRecord is what a daemon writes down about itself.
type daemonRecord struct {
	PID    int    `json:"pid"`
	Listen string `json:"listen"` // address of the page
	API    string `json:"api"`    // address of the loopback forward to the API's virtual IP
	Users  string `json:"users"`  // address of the loopback forward to the users' virtual IP
}

func recordPath(d Dirs, name string) string     { return filepath.Join(d.run(name), "daemon.json") }
func daemonLockPath(d Dirs, name string) string { return filepath.Join(d.run(name), "daemon.lock") }
func verbLockPath(d Dirs, name string) string {
	// Beside the lab's directory, since down removes that.
	return filepath.Join(d.Run, "."+name+".lock")
}

func readRecord(d Dirs, name string) (daemonRecord, error) {
	var r daemonRecord
	data, err := os.ReadFile(recordPath(d, name))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// daemonPID is the process that holds the daemon's lock, or 0. The lock, not
// the recorded number, is the proof that a daemon lives.
func daemonPID(d Dirs, name string) int {
	if !exists(daemonLockPath(d, name)) {
		return 0
	}
	held, err := lock(daemonLockPath(d, name))
	if err == nil {
		held.Close()
		return 0
	}
	record, err := readRecord(d, name)
	if err != nil {
		return 0
	}
	return record.PID
}

// settleBoot forgets what a run directory says if the host has rebooted since:
// no process, mount or namespace of then is left.
func settleBoot(d Dirs, name string) error {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	current := strings.TrimSpace(string(data))
	path := filepath.Join(d.run(name), "host-boot-id")
	old, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(old)) == current {
		return nil
	}
	if err == nil {
		if err := os.RemoveAll(d.run(name)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.run(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(current+"\n"), 0o644)
}
