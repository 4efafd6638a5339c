package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLogIsBoundedAndKeepsTheLatest(t *testing.T) {
	l := newLogFile(filepath.Join(t.TempDir(), "s.log"))
	l.limit = 100
	for i := range 100 {
		if n, err := l.Write(bytes.Repeat([]byte{byte('0' + i%10)}, 30)); n != 30 || err != nil {
			t.Fatal(n, err)
		}
	}
	for _, path := range []string{l.path, l.path + ".1"} {
		st, err := os.Stat(path)
		if err != nil || st.Size() > 100 || st.Size() == 0 {
			t.Errorf("%s: %v, %v bytes, want 1 to 100", path, err, st.Size())
		}
	}
	if b, _ := os.ReadFile(l.path); !bytes.HasSuffix(b, []byte("999")) {
		t.Errorf("the log ends %q, want the last that was written", b)
	}
}

func TestLogGoesOnAfterABoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.log")
	for _, text := range []string{"first boot\n", "second boot\n"} {
		if _, err := newLogFile(path).Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(path); string(b) != "first boot\nsecond boot\n" {
		t.Errorf("the log holds %q", b)
	}
}

func TestUnwritableLogDoesNotStopTheService(t *testing.T) {
	l := newLogFile("/nonexistent/s.log")
	if n, err := l.Write([]byte("text")); n != 4 || err != nil {
		t.Errorf("Write = %d, %v: its service would see that", n, err)
	}
}

func TestPipeCopiesUntilTheLastHolderIsGone(t *testing.T) {
	l := newLogFile(filepath.Join(t.TempDir(), "s.log"))
	w, err := l.pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("line\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for range 1000 {
		if b, _ := os.ReadFile(l.path); string(b) == "line\n" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the line never reached the log")
}
