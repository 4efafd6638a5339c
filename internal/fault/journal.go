package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Journal keeps one file per attack in a directory. A file is replaced as a
// whole, so after a crash it holds either the state before or the one after. A
// new attack is in a file that was made beforehand, until it has its own.
type Journal struct {
	dir     string
	intents intents
}

// keepOver is how many attacks that are over stay in the journal.
const keepOver = 500

// OpenJournal makes the directory where it is missing, and gives the attacks that
// were intended when the daemon before ended files of their own.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal of faults: %w", err)
	}
	j := &Journal{dir: dir}
	if err := j.intents.open(dir, func(a *Attack) error { return j.Write(a, true) }); err != nil {
		return nil, fmt.Errorf("open the journal of faults: %w", err)
	}
	return j, nil
}

// Intend stores a new attack, and returns when it is on the disk, whatever may
// happen to the machine.
func (j *Journal) Intend(a *Attack) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("journal of faults: %w", err)
	}
	if j.intents.write(a.ID, data) {
		return nil
	}
	return j.store(a.ID, data, true)
}

// Write stores an attack. What it replaces stays whole until the new one is on
// the disk. With durable it returns only when the directory entry is there, too:
// without it a power cut may bring the state before back, but never half a file.
func (j *Journal) Write(a *Attack, durable bool) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("journal of faults: %w", err)
	}
	return j.store(a.ID, data, durable)
}

func (j *Journal) store(id string, data []byte, durable bool) error {
	path := j.path(id)
	if err := writeFile(path+".new", data); err != nil {
		return fmt.Errorf("journal of faults: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("journal of faults: %w", err)
	}
	j.intents.copied(id)
	if durable {
		return j.intents.synced(func() error { return syncDir(j.dir) })
	}
	return nil
}

// Begin stores an attack while the caller goes on; done waits until it is there.
// It is as it was when Begin was called.
func (j *Journal) Begin(a *Attack) (done func() error) {
	data, err := json.Marshal(a)
	if err != nil {
		return func() error { return fmt.Errorf("journal of faults: %w", err) }
	}
	stored := make(chan error, 1)
	go func() { stored <- j.store(a.ID, data, false) }()
	return func() error { return <-stored }
}

func (j *Journal) path(id string) string { return filepath.Join(j.dir, id+".json") }

// DamagedError names files that cannot be read: their faults need a person.
type DamagedError struct{ Files []error }

func (e *DamagedError) Error() string { return errors.Join(e.Files...).Error() }

// Read returns all attacks in the order of their numbers, and the highest number
// that was ever given to one. An error of type *DamagedError comes beside the
// attacks that could be read; the files it names stay where they are.
func (j *Journal) Read() (attacks []*Attack, highest int, err error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("journal of faults: %w", err)
	}
	bad := &DamagedError{}
	for _, e := range entries {
		path := filepath.Join(j.dir, e.Name())
		if strings.HasSuffix(e.Name(), ".new") { // a crash before its rename: nothing was touched for it
			if err := os.Remove(path); err != nil {
				return nil, 0, fmt.Errorf("journal of faults: %w", err)
			}
			continue
		}
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		// Its name counts even if it is damaged, so that it is not overwritten.
		if n, err := strconv.Atoi(strings.TrimPrefix(id, "f")); err == nil {
			highest = max(highest, n)
		}
		a, err := readAttack(path)
		if err == nil && a.ID != id {
			err = fmt.Errorf("%s is damaged: it is about attack %q", path, a.ID)
		}
		if err != nil {
			bad.Files = append(bad.Files, err)
			continue
		}
		highest = max(highest, a.Number)
		attacks = append(attacks, a)
	}
	slices.SortFunc(attacks, func(a, b *Attack) int { return a.Number - b.Number })
	if len(bad.Files) > 0 {
		return attacks, highest, bad
	}
	return attacks, highest, nil
}

func readAttack(path string) (*Attack, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a := new(Attack)
	if err := json.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return a, nil
}

// Forget removes an attack that is over.
func (j *Journal) Forget(id string) error {
	j.intents.forget(id)
	err := os.Remove(j.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
