package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Logs reads what is appended to log files, told by inotify. It holds no file
// open between two lines, so that a disk can be taken away at any time.
type Logs struct {
	notify *os.File

	mu   sync.Mutex
	dirs map[int32]*logDir // by watch descriptor
}

// logDir is a watched directory.
type logDir struct {
	set   *logSet
	path  string
	depth int // of the pattern
	files map[string]*logFile
}

// logFile is how far a file was read.
type logFile struct {
	offset  int64
	partial []byte
}

// logSet is what was asked for by one Follow.
type logSet struct {
	patterns []string // one for each level of directories, the last one for files
	line     func(path, text string, read time.Time)
}

// pace is the shortest time between two readings: a load balancer whose backends
// fail logs every request.
const pace = 5 * time.Millisecond

// longestLine bounds a line; what is longer is cut.
const longestLine = 16 << 10

// NewLogs makes an empty set of logs; Run reads them.
func NewLogs() (*Logs, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch log files: %w", os.NewSyscallError("inotify_init1", err))
	}
	return &Logs{notify: os.NewFile(uintptr(fd), "inotify"), dirs: map[int32]*logDir{}}, nil
}

// Follow calls line with each line that is appended to the files below root
// whose path fits the patterns, one for each level: {"etcd-*", "etcd", "*.log"}.
// Files that exist are read from their present end, new ones from their
// beginning. The result ends it.
func (l *Logs) Follow(root string, patterns []string, line func(path, text string, read time.Time)) (stop func(), err error) {
	set := &logSet{patterns, line}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.add(set, root, 0, false); err != nil {
		return nil, err
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for wd, d := range l.dirs {
			if d.set == set {
				delete(l.dirs, wd)
				l.unwatch(wd)
			}
		}
	}, nil
}

// add watches a directory and what fits below it. What is in a new directory is
// new itself.
func (l *Logs) add(set *logSet, path string, depth int, isNew bool) error {
	wd, err := l.watch(path)
	if err != nil {
		return err
	}
	if l.dirs[wd] != nil {
		return nil // it was seen twice while it appeared
	}
	d := &logDir{set: set, path: path, depth: depth, files: map[string]*logFile{}}
	l.dirs[wd] = d
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		l.appeared(d, e.Name(), isNew)
	}
	return nil
}

func (l *Logs) watch(path string) (int32, error) {
	raw, err := l.notify.SyscallConn()
	if err != nil {
		return 0, err
	}
	wd, watchErr := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		wd, watchErr = unix.InotifyAddWatch(int(fd), path, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_MOVED_FROM|unix.IN_DELETE|unix.IN_MODIFY|unix.IN_ONLYDIR)
	})
	if err == nil && watchErr != nil {
		err = &os.PathError{Op: "watch", Path: path, Err: watchErr}
	}
	return int32(wd), err
}

// unwatch fails when the directory is gone, and its watch with it.
func (l *Logs) unwatch(wd int32) {
	raw, err := l.notify.SyscallConn()
	if err != nil {
		return // closed, and all watches with it
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) })
}

// appeared takes in a file or directory that is there.
func (l *Logs) appeared(d *logDir, name string, isNew bool) {
	if ok, _ := filepath.Match(d.set.patterns[d.depth], name); !ok {
		return
	}
	path := filepath.Join(d.path, name)
	if d.depth < len(d.set.patterns)-1 {
		_ = l.add(d.set, path, d.depth+1, isNew) // it may be gone again
		return
	}
	if d.files[name] != nil {
		return // it was listed and told
	}
	f := &logFile{}
	d.files[name] = f
	if isNew {
		l.read(d, name, f)
	} else if st, err := os.Stat(path); err == nil {
		f.offset = st.Size()
	}
}

// Run reads until the logs are closed.
func (l *Logs) Run() {
	buf := make([]byte, 64<<10)
	for {
		n, err := l.notify.Read(buf)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		l.mu.Lock()
		for rest := buf[:max(n, 0)]; len(rest) >= unix.SizeofInotifyEvent; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&rest[0]))
			end := unix.SizeofInotifyEvent + int(e.Len)
			name := strings.TrimRight(string(rest[unix.SizeofInotifyEvent:end]), "\x00")
			rest = rest[end:]
			l.event(e.Wd, e.Mask, name)
		}
		l.mu.Unlock()
		time.Sleep(pace)
	}
}

func (l *Logs) event(wd int32, mask uint32, name string) {
	d := l.dirs[wd]
	switch {
	case d == nil:
	case mask&unix.IN_IGNORED != 0:
		delete(l.dirs, wd)
	case mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		l.appeared(d, name, true)
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		delete(d.files, name)
	case mask&unix.IN_MODIFY != 0:
		if f := d.files[name]; f != nil {
			l.read(d, name, f)
		}
	}
}

// read passes on the whole lines that were appended.
func (l *Logs) read(d *logDir, name string, f *logFile) {
	path := filepath.Join(d.path, name)
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	if st, err := file.Stat(); err == nil && st.Size() < f.offset {
		f.offset, f.partial = 0, nil // it was emptied
	}
	now := time.Now()
	buf := make([]byte, 32<<10)
	for {
		n, err := file.ReadAt(buf, f.offset)
		f.offset += int64(n)
		data := append(f.partial, buf[:n]...)
		for {
			line, rest, whole := bytes.Cut(data, []byte("\n"))
			if !whole {
				break
			}
			d.set.line(path, string(line[:min(len(line), longestLine)]), now)
			data = rest
		}
		f.partial = append([]byte(nil), data[:min(len(data), longestLine)]...)
		if err != nil || n == 0 {
			if !errors.Is(err, io.EOF) {
				f.partial = nil
			}
			return
		}
	}
}

// Close ends Run.
func (l *Logs) Close() error { return l.notify.Close() }
