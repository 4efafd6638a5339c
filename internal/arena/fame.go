package arena

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

const (
	fameNames  = 5  // of a round
	famePlaces = 10 // of a level
	fameLevels = 200
	// maxFame bounds what is read of the file, in bytes.
	maxFame = 4 << 20
)

// hall is the hall of fame, and the number of the latest round of each level, on
// disk.
type hall struct {
	path string // "": in memory only

	mu   sync.Mutex
	data fameFile
}

type fameFile struct {
	Version int               `json:"version"` // 1
	Rounds  map[string]int    `json:"rounds"`
	Fame    map[string][]Fame `json:"fame"` // by level, best first
}

// openHall reads the hall of fame. A file that cannot be read is put aside and
// told in the error; the hall is then empty and works.
func openHall(path string) (*hall, error) {
	h := &hall{path: path, data: fameFile{Version: 1, Rounds: map[string]int{}, Fame: map[string][]Fame{}}}
	if path == "" {
		return h, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFame))
	if err != nil {
		return h, err
	}
	var read fameFile
	if err := json.Unmarshal(data, &read); err != nil || read.Version != 1 {
		aside := path + ".damaged"
		return h, errors.Join(fmt.Errorf("the hall of fame %s cannot be read (%v) and is now %s", path, err, aside), os.Rename(path, aside))
	}
	h.take(&read)
	return h, nil
}

// take takes over what a file holds, within bounds.
func (h *hall) take(read *fameFile) {
	for level, n := range read.Rounds {
		if levelName.MatchString(level) && n >= 0 && len(h.data.Rounds) < fameLevels {
			h.data.Rounds[level] = n
		}
	}
	for level, list := range read.Fame {
		if levelName.MatchString(level) && len(h.data.Fame) < fameLevels {
			for i := range list {
				f := &list[i]
				f.Level = level
				if f.Names = f.Names[:min(len(f.Names), fameNames)]; f.Names == nil {
					f.Names = []string{}
				}
				for j := range f.Names {
					f.Names[j] = visitorName(f.Names[j])
				}
			}
			h.data.Fame[level] = best(list)
		}
	}
}

func best(list []Fame) []Fame {
	slices.SortStableFunc(list, func(a, b Fame) int { return cmp.Compare(b.Points, a.Points) })
	return list[:min(len(list), famePlaces)]
}

// of lists a level's best rounds, best first.
func (h *hall) of(level string) []Fame {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Fame{}, h.data.Fame[level]...)
}

// rounds is the number of a level's latest round.
func (h *hall) rounds(level string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.data.Rounds[level]
}

// add notes that a round of a level was played, and the round if it was won.
func (h *hall) add(level string, round int, won *Fame) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.data.Rounds[level]; !known && len(h.data.Rounds) >= fameLevels {
		return fmt.Errorf("the hall of fame knows %d levels already: %s is not kept", fameLevels, level)
	}
	h.data.Rounds[level] = max(round, h.data.Rounds[level])
	if won != nil {
		h.data.Fame[level] = best(append(slices.Clone(h.data.Fame[level]), *won))
	}
	if h.path == "" {
		return nil
	}
	data, err := json.MarshalIndent(&h.data, "", " ")
	if err != nil {
		return err
	}
	return writeSynced(h.path, data)
}

// writeSynced replaces a file: after a crash it is the old one or the new one.
func writeSynced(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
