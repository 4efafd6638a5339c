// Package timeline is the one ordered record of what happened to a lab:
// attacks, changes of the cluster, outages that users saw. Everything shown to
// people is a reading of it.
package timeline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Kinds of entries besides those of cluster.ChangeKind.
const (
	KindOutageBegan = "outage-began"
	KindOutageEnded = "outage-ended"
	KindErrors      = "errors" // single failed requests, summed up
	// Users were served, but slowly or with old data.
	KindDegradedBegan = "degraded-began"
	KindDegradedEnded = "degraded-ended"
	KindHit           = "hit"
	KindKill          = "kill"
	KindKillFailed    = "kill-failed"
	KindWin           = "win" // the service was brought down
	KindLab           = "lab" // the lab itself: started, adopted, stopped
	KindPower         = "power"
	KindAlert         = "alert" // a rule of a monitoring system fired or ended
)

// Entry is one thing that happened.
type Entry struct {
	// Seq orders all entries of a lab, without gaps, also across restarts.
	Seq int64 `json:"seq"`
	// Wall is the time of day; it may jump when the host's clock is set.
	Wall time.Time `json:"wall"`
	// MonoMS is milliseconds since this run of the lab's daemon opened the
	// timeline, from the monotonic clock. It starts anew with Run.
	MonoMS float64 `json:"monoMs"`
	// AtMS is when it happened, on the clock of MonoMS, where that is known more
	// closely than by when the timeline heard of it; else 0.
	AtMS float64 `json:"atMs,omitempty"`
	// Run counts the openings of the timeline, from 1.
	Run     int               `json:"run"`
	Kind    string            `json:"kind"`
	Subject string            `json:"subject"` // what it happened to: a pod, a node, the service
	Text    string            `json:"text"`    // one plain sentence
	Fields  map[string]string `json:"fields,omitempty"`
	// Detail marks what is for who looks for causes; who only watches can leave
	// it out.
	Detail bool `json:"detail,omitempty"`
}

// When is the best that is known of when it happened, on the clock of MonoMS.
func (e *Entry) When() float64 {
	if e.AtMS != 0 {
		return e.AtMS
	}
	return e.MonoMS
}

// Happened is When as a time of day.
func (e *Entry) Happened() time.Time {
	return e.Wall.Add(time.Duration((e.When() - e.MonoMS) * 1e6))
}

// Log is the timeline, in memory and appended to a file.
type Log struct {
	mu    sync.Mutex
	epoch time.Time
	run   int
	seq   int64
	ring  []Entry
	wake  chan struct{}
	path  string
	file  *os.File
	size  int64
	err   error // the first failure to write; the log goes on in memory
}

const (
	keepEntries = 4000
	// maxFile bounds the file; a full one becomes path+".1", replacing the one
	// before.
	maxFile = 8 << 20
)

// Open continues the timeline at path, or one in memory only when path is "".
func Open(path string) (*Log, error) {
	l := &Log{epoch: time.Now(), run: 1, wake: make(chan struct{}), path: path}
	if path == "" {
		return l, nil
	}
	for _, p := range []string{path + ".1", path} {
		if err := l.read(p); err != nil {
			return nil, fmt.Errorf("read timeline: %w", err)
		}
	}
	if n := len(l.ring); n > 0 {
		l.seq, l.run = l.ring[n-1].Seq, l.ring[n-1].Run+1
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open timeline: %w", err)
	}
	l.file = f
	if st, err := f.Stat(); err == nil {
		l.size = st.Size()
	}
	return l, nil
}

// read loads what is kept of a file. A torn last line, left by a crash, is
// skipped, and so that the next entry does not join it, completed.
func (l *Log) read(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var e Entry
		if json.Unmarshal(s.Bytes(), &e) == nil && e.Seq > 0 {
			l.keep(e)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	end, err := f.Seek(0, 2)
	if err != nil || end == 0 {
		return err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, end-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = f.Write([]byte("\n"))
	}
	return err
}

func (l *Log) keep(e Entry) {
	if len(l.ring) == keepEntries {
		l.ring = l.ring[1:] // append makes room now and then
	}
	l.ring = append(l.ring, e)
}

// Add records that something happened now and returns the entry.
func (l *Log) Add(kind, subject, text string, fields map[string]string) Entry {
	return l.add(Entry{Kind: kind, Subject: subject, Text: text, Fields: fields}, time.Time{})
}

// Mono is a moment of this process on the clock of Entry.MonoMS.
func (l *Log) Mono(t time.Time) float64 {
	return float64(t.Sub(l.epoch).Microseconds()) / 1000
}

// add completes an entry and keeps it; at is when it happened, zero for now.
func (l *Log) add(e Entry, at time.Time) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.seq++
	e.Seq, e.Wall, e.MonoMS, e.Run = l.seq, now.Round(0).UTC(), l.Mono(now), l.run
	if ago := now.Sub(at); !at.IsZero() && ago >= 0 {
		e.AtMS = e.MonoMS - float64(ago.Microseconds())/1000
	}
	l.keep(e)
	l.write(e)
	close(l.wake)
	l.wake = make(chan struct{})
	return e
}

func (l *Log) write(e Entry) {
	if l.file == nil || l.err != nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil && l.size+int64(len(line)) > maxFile {
		err = l.rotate()
	}
	if err == nil {
		var n int
		n, err = l.file.Write(append(line, '\n'))
		l.size += int64(n)
	}
	if err != nil {
		l.err = fmt.Errorf("write timeline: %w", err)
	}
}

func (l *Log) rotate() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.file, l.size = f, 0
	return nil
}

// Since returns the entries after seq, oldest first, at most the newest limit
// (0: all that are kept).
func (l *Log) Since(seq int64, limit int) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.ring)
	for i > 0 && l.ring[i-1].Seq > seq && (limit <= 0 || len(l.ring)-i < limit) {
		i--
	}
	return append([]Entry{}, l.ring[i:]...)
}

// Changed gives a channel that is closed by the next Add.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wake
}

// Err is the first failure to write the file, or nil. The timeline in memory
// goes on without it.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
