package progress

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// History is a file of results, one JSON object per line. Lines are only ever
// added. A line that cannot be read is left where it is and reported; it takes
// nothing else with it.
type History struct {
	mu   sync.Mutex
	path string
}

// Damage is a line of the file that cannot be read.
type Damage struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// maxLine bounds a line, in bytes.
const maxLine = 64 << 10

// OpenHistory uses the file at path, which need not be there yet.
func OpenHistory(path string) *History { return &History{path: path} }

// Add writes a result and returns when it is on the disk. A last line that was torn
// by a crash is ended first, so that this one does not join it.
func (h *History) Add(r *Result) (err error) {
	if err := r.check(); err != nil {
		return fmt.Errorf("the result is not kept: %w", err)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write down a result: %w", err)
	}
	if len(line) >= maxLine {
		return fmt.Errorf("the result is not kept: it has %d bytes, more than %d", len(line), maxLine)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.OpenFile(h.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the history: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	line = append(line, '\n')
	if end, err := f.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("open the history: %w", err)
	} else if last := make([]byte, 1); end > 0 {
		if _, err := f.ReadAt(last, end-1); err != nil {
			return fmt.Errorf("read the history: %w", err)
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(line); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write the history: %w", err)
	}
	return nil
}

// Read gives all results in the order in which they were added, and the lines that
// cannot be read.
func (h *History) Read() ([]Result, []Damage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.Open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the history: %w", err)
	}
	defer f.Close()
	out, damage, err := parse(f)
	if err != nil {
		err = fmt.Errorf("read the history: %w", err)
	}
	return out, damage, err
}

func parse(from io.Reader) (out []Result, damage []Damage, err error) {
	in := bufio.NewReaderSize(from, maxLine)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return out, damage, err
		}
		if long {
			damage = append(damage, Damage{n, fmt.Sprintf("it is longer than %d bytes", maxLine)})
		} else if text := bytes.TrimSpace(line); len(text) > 0 {
			var r Result
			wrong := json.Unmarshal(text, &r)
			if wrong == nil {
				wrong = r.check()
			}
			if wrong != nil {
				damage = append(damage, Damage{n, wrong.Error()})
			} else {
				out = append(out, r)
			}
		}
		if err != nil {
			return out, damage, nil
		}
	}
}

// Of keeps a person's results, all scenarios' where none is named.
func Of(all []Result, person, scenario string) []Result {
	return slices.DeleteFunc(slices.Clone(all), func(r Result) bool {
		return r.Person != person || scenario != "" && r.Scenario != scenario
	})
}
