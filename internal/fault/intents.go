package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// intents are files that lie ready for what must be on the disk before anything
// is touched. Writing over what is there already takes one flush of the disk and
// nothing of the file system; a new file takes two commits of its journal, and
// each of them waits for whatever else on the machine is being synced, such as
// the logs of etcd.
type intents struct {
	dir string

	mu    sync.Mutex
	slots [intentFiles]intent
}

// intent is what one of the files is used for.
type intent struct {
	id     string // of the attack; "": nothing
	copied bool   // the journal has it under its own name, perhaps not on the disk yet
	broken bool   // it could not be made or read
}

const (
	intentFiles = 8
	// intentSize holds nearly every attack. What is larger gets a file of its own.
	intentSize = 64 << 10
	// intentHead is before an attack: the length and a checksum of its JSON.
	intentHead = "%08x %08x\n"
	headLength = 18
)

func (i *intents) path(n int) string { return filepath.Join(i.dir, fmt.Sprintf("intent-%d", n)) }

// open makes the files that are missing, and hands on what was written to the
// others and is not in the journal under its own name.
func (i *intents) open(dir string, keep func(*Attack) error) error {
	i.dir = dir
	made := false
	for n := range i.slots {
		info, err := os.Stat(i.path(n))
		if err == nil && info.Size() == intentSize {
			if err := i.recover(n, keep); err != nil {
				return err
			}
			continue
		}
		// Zeros and not a hole, so that no block must be found later. Without room
		// for it the journal goes on as it can.
		if err := writeFile(i.path(n), make([]byte, intentSize)); err != nil {
			_ = os.Remove(i.path(n))
			i.slots[n].broken = true
			continue
		}
		made = true
	}
	if made {
		return syncDir(dir)
	}
	return nil
}

// recover hands on an attack that was intended when its daemon ended.
func (i *intents) recover(n int, keep func(*Attack) error) error {
	a := readIntent(i.path(n))
	if a == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(i.dir, a.ID+".json")); errors.Is(err, fs.ErrNotExist) {
		if err := keep(a); err != nil {
			return err
		}
	}
	i.clear(n)
	return nil
}

// readIntent is the attack in a file, or nil: it is free, or was being written
// when its daemon ended, so that nothing was touched for it.
func readIntent(path string) *Attack {
	data, err := os.ReadFile(path)
	if err != nil || len(data) < headLength {
		return nil
	}
	var length, sum uint32
	if _, err := fmt.Sscanf(string(data[:headLength]), intentHead, &length, &sum); err != nil || int(length) > len(data)-headLength {
		return nil
	}
	data = data[headLength:][:length]
	a := new(Attack)
	if crc32.ChecksumIEEE(data) != sum || json.Unmarshal(data, a) != nil || a.ID == "" {
		return nil
	}
	return a
}

// write puts an attack on the disk; false when it must go elsewhere.
func (i *intents) write(id string, data []byte) bool {
	n := i.take(id, len(data))
	if n < 0 {
		return false
	}
	err := overwrite(i.path(n), append(fmt.Appendf(nil, intentHead, len(data), crc32.ChecksumIEEE(data)), data...))
	if err != nil {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.clear(n)
		i.slots[n].broken = true
	}
	return err == nil
}

func (i *intents) take(id string, length int) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.slots {
		if s := &i.slots[n]; s.id == "" && !s.broken && length <= intentSize-headLength {
			s.id = id
			return n
		}
	}
	return -1
}

func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = syscall.Fdatasync(int(f.Fd()))
	}
	return errors.Join(err, f.Close())
}

// copied notes that the journal has an attack under its own name.
func (i *intents) copied(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.slots {
		if i.slots[n].id == id {
			i.slots[n].copied = true
		}
	}
}

// synced frees the files of attacks that were copied before the journal's
// directory was brought to the disk by sync.
func (i *intents) synced(sync func() error) error {
	i.mu.Lock()
	var done []int
	for n := range i.slots {
		if i.slots[n].copied {
			done = append(done, n)
		}
	}
	i.mu.Unlock()
	if err := sync(); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range done {
		if i.slots[n].copied { // nobody else has freed it meanwhile
			i.clear(n)
		}
	}
	return nil
}

// forget frees the file of an attack of which nothing was begun.
func (i *intents) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n := range i.slots {
		if i.slots[n].id == id {
			i.clear(n)
		}
	}
}

// clear makes a file unreadable as an attack. That is not synced: the attack has
// its own file, which is found first.
func (i *intents) clear(n int) {
	i.slots[n] = intent{broken: i.slots[n].broken}
	if f, err := os.OpenFile(i.path(n), os.O_WRONLY, 0); err == nil {
		_, _ = f.Write([]byte("-"))
		f.Close()
	}
}
