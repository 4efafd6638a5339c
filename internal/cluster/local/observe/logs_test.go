package observe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// heard collects lines and waits for them.
type heard struct {
	t *testing.T
	c chan string
}

func (h heard) line(path, text string, _ time.Time) { h.c <- filepath.Base(path) + ": " + text }

func (h heard) want(lines ...string) {
	h.t.Helper()
	for _, want := range lines {
		select {
		case got := <-h.c:
			if got != want {
				h.t.Fatalf("heard %q, want %q", got, want)
			}
		case <-time.After(5 * time.Second):
			h.t.Fatalf("heard nothing, want %q", want)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestLinesAreHeardOnceAcrossNewDirectoriesAndRotation(t *testing.T) {
	root := t.TempDir()
	old := filepath.Join(root, "etcd-1", "etcd", "0.log")
	appendTo(t, old, "from before\n")
	l, err := NewLogs()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	defer func() { l.Close(); <-ended }()
	h := heard{t, make(chan string, 100)}
	stop, err := l.Follow(root, []string{"etcd-*", "etcd", "*.log"}, h.line)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, old, "one\ntw")
	h.want("0.log: one")
	appendTo(t, old, "o\n")
	h.want("0.log: two")
	if err := os.Rename(old, old+".1"); err != nil { // as the kubelet rotates
		t.Fatal(err)
	}
	appendTo(t, old, "three\n")
	h.want("0.log: three")
	appendTo(t, filepath.Join(root, "etcd-2", "etcd", "1.log"), "of a new pod\n")
	h.want("1.log: of a new pod")
	if err := os.Truncate(old, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(t, old, "4\n")
	h.want("0.log: 4")
	appendTo(t, filepath.Join(root, "etcd-2", "other", "1.log"), "not asked for\n")
	stop()
	appendTo(t, old, "after the end\n")
	other, err := l.Follow(t.TempDir(), []string{"*"}, h.line) // whose success shows that the events before were handled
	if err != nil {
		t.Fatal(err)
	}
	other()
	if len(h.c) > 0 {
		t.Errorf("heard %q too", <-h.c)
	}
}

func TestALongLineIsCut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, err := NewLogs()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run() }()
	defer func() { l.Close(); <-ended }()
	h := heard{t, make(chan string, 100)}
	if _, err := l.Follow(filepath.Dir(path), []string{"*.log"}, h.line); err != nil {
		t.Fatal(err)
	}
	appendTo(t, path, strings.Repeat("x", 3*longestLine)+"\nshort\n")
	if got := <-h.c; len(got) > longestLine+len("a.log: ") {
		t.Errorf("a line of %d bytes was passed on", len(got))
	}
	h.want("a.log: short")
}
