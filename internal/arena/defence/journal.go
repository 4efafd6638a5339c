package defence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stage is how far a defence has come.
type stage string

const (
	applying stage = "applying" // written down, perhaps begun
	applied  stage = "applied"  // there, and observed
	undoing  stage = "undoing"  // being taken back; tried again until it succeeds
)

// record is a defence as it is written down: all that taking it back needs, so
// that this works without the level's file.
type record struct {
	Level   string        `json:"level"`
	Name    string        `json:"name"`
	Title   string        `json:"title"`
	By      string        `json:"by"`
	Stage   stage         `json:"stage"`
	Asked   time.Time     `json:"asked"`
	Since   time.Time     `json:"since,omitzero"` // it is applied
	Within  time.Duration `json:"within"`         // nanoseconds
	Changes []change      `json:"changes"`
	// Evidence is what was observed, a line per change.
	Evidence []string `json:"evidence,omitempty"`
	// Error is why it could not be applied, Trouble why it is not taken back yet.
	Error   string `json:"error,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

// change is the change of one object, or of one file.
type change struct {
	ref
	UID string `json:"uid,omitempty"`
	// Before is the whole object as it was, for people; of a file its content.
	Before  []byte    `json:"before"`
	Fields  []Field   `json:"fields,omitempty"` // of an object
	After   []byte    `json:"after,omitempty"`  // of a file
	Settled Condition `json:"settled"`
	Spread  *Spread   `json:"spread,omitempty"`
	Shown   *Shown    `json:"shown,omitempty"`
	Undone  bool      `json:"undone,omitempty"`
}

// journal keeps one file per defence that is not off. A file is replaced as a
// whole, so after a crash it holds either the stage before or the one after.
type journal struct{ dir string }

func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal of defences: %w", err)
	}
	return &journal{dir}, nil
}

func (j *journal) path(r *record) string { return filepath.Join(j.dir, r.Name+".json") }

// write returns when the record is on the disk.
func (j *journal) write(r *record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("journal of defences: %w", err)
	}
	path := j.path(r)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("journal of defences: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		return fmt.Errorf("journal of defences: %w", err)
	}
	return nil
}

// forget removes a defence that is off.
func (j *journal) forget(r *record) error {
	if err := os.Remove(j.path(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal of defences: %w", err)
	}
	return syncDir(j.dir)
}

// read returns all records, the oldest first. Files that cannot be read stay
// where they are and are an error beside the others.
func (j *journal) read() ([]*record, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, fmt.Errorf("journal of defences: %w", err)
	}
	var all []*record
	var damaged error
	for _, e := range entries {
		path := filepath.Join(j.dir, e.Name())
		if strings.HasSuffix(e.Name(), ".new") { // a crash before its rename: nothing was touched for it
			_ = os.Remove(path)
			continue
		}
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		r := new(record)
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, r)
		}
		if err == nil && j.path(r) != path {
			err = fmt.Errorf("it is about %q", r.Name)
		}
		if err != nil {
			damaged = errors.Join(damaged, fmt.Errorf("%s is damaged, what it holds must be undone by hand: %w", path, err))
			continue
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *record) int { return a.Asked.Compare(b.Asked) })
	return all, damaged
}
