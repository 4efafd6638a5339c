package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Journal keeps one file per attack in a directory. A file is replaced as a
// whole, so after a crash it holds either the state before or the one after.
type Journal struct {
	dir string
}

// keepOver is how many attacks that are over stay in the journal.
const keepOver = 500

// OpenJournal makes the directory where it is missing.
func OpenJournal(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal of faults: %w", err)
	}
	return &Journal{dir}, nil
}

// Write stores an attack. With durable it returns only when file and directory
// entry are on the disk.
func (j *Journal) Write(a *Attack, durable bool) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	path := j.path(a.ID)
	if err := writeFile(path+".new", data, durable); err != nil {
		return fmt.Errorf("journal of faults: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("journal of faults: %w", err)
	}
	if durable {
		return syncDir(j.dir)
	}
	return nil
}

func (j *Journal) path(id string) string { return filepath.Join(j.dir, id+".json") }

// Read returns all attacks in the order of their numbers. Files that cannot be
// read are reported beside the others: their faults need a person.
func (j *Journal) Read() ([]*Attack, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal of faults: %w", err)
	}
	var out []*Attack
	var bad error
	for _, e := range entries {
		path := filepath.Join(j.dir, e.Name())
		if strings.HasSuffix(e.Name(), ".new") { // a crash before its rename: nothing was touched for it
			bad = errors.Join(bad, os.Remove(path))
			continue
		}
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		a, err := readAttack(path)
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *Attack) int { return a.Number - b.Number })
	return out, bad
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
	err := os.Remove(j.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func writeFile(path string, data []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
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
