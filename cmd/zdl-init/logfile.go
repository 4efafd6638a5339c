package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// logLimit is the size at which a log file becomes the older one, in bytes.
// With the older one, a service's log never takes more than twice that.
const logLimit = 8 << 20

// logFile is a service's output, bounded in size. Output that cannot be
// written, because the disk is full say, is dropped: a log must not stop its
// service.
type logFile struct {
	path  string
	limit int64

	mu   sync.Mutex
	file *os.File
	size int64
}

func newLogFile(path string) *logFile { return &logFile{path: path, limit: logLimit} }

// pipe returns a write end for a process. What arrives is copied to the log
// until the last holder of the end is gone, which may be a child that outlives
// the service.
func (l *logFile) pipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer r.Close()
		buf := make([]byte, 4<<10)
		for {
			n, err := r.Read(buf)
			_, _ = l.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return w, nil
}

// note adds a line of the supervisor's own.
func (l *logFile) note(format string, args ...any) {
	fmt.Fprintf(l, "%s zdl-init: %s\n", time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}

// Write appends p, and begins a new file first when this one is full. It
// always takes all of p.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if l.file != nil && l.size+int64(len(p)) > l.limit {
		l.file.Close()
		l.file = nil
		_ = os.Rename(l.path, l.path+".1")
	}
	if l.file == nil {
		f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return len(p), nil
		}
		if st, err := f.Stat(); err == nil {
			l.size = st.Size()
		}
		l.file = f
	}
	n, _ := l.file.Write(p)
	l.size += int64(n)
	return len(p), nil
}
