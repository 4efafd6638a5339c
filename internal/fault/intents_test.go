package fault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func journalIn(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := OpenJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func intended(n int) *Attack {
	return &Attack{ID: fmt.Sprintf("f%d", n), Number: n, Kind: "test", State: Intended}
}

func read(t *testing.T, j *Journal) map[string]State {
	t.Helper()
	all, _, err := j.Read()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]State{}
	for _, a := range all {
		out[a.ID] = a.State
	}
	return out
}

// A daemon that ends right after an intent was written leaves it to the next.
func TestAnIntentIsFoundByTheNextDaemon(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir)
	const many = 3 * intentFiles // more than lie ready
	for n := 1; n <= many; n++ {
		if err := j.Intend(intended(n)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // and by the one after that
		j = journalIn(t, dir)
		if got := read(t, j); len(got) != many || got["f1"] != Intended || got[fmt.Sprint("f", many)] != Intended {
			t.Errorf("found %v, want %d", got, many)
		}
	}
	if err := j.Forget("f1"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, journalIn(t, dir)); len(got) != many-1 {
		t.Errorf("after one was forgotten there are %d", len(got))
	}
}

// What became of an attack counts, not its intent.
func TestAnIntentDoesNotComeBack(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir)
	for n := 1; n <= 2; n++ {
		if err := j.Intend(intended(n)); err != nil {
			t.Fatal(err)
		}
	}
	over := intended(1)
	over.State = Undone
	if err := errors.Join(j.Write(over, false), j.Forget("f2")); err != nil {
		t.Fatal(err)
	}
	if got := read(t, journalIn(t, dir)); len(got) != 1 || got["f1"] != Undone {
		t.Errorf("the next daemon finds %v", got)
	}
}

// A write that was cut short is an attack for which nothing was touched.
func TestHalfAnIntentIsNone(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir)
	if err := j.Intend(intended(1)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "intent-0")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.IndexByte(data, 0)
	for cut := 0; cut < end; cut++ {
		half := append(append([]byte{}, data[:cut]...), bytes.Repeat([]byte{'x'}, len(data)-cut)...)
		if err := os.WriteFile(path, half, 0o600); err != nil {
			t.Fatal(err)
		}
		if a := readIntent(path); a != nil {
			t.Fatalf("of %d bytes the first %d are an attack: %+v", end, cut, a)
		}
	}
}

// Files are used again once their attacks have their own.
func TestIntentsGoOnWithoutNewFiles(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir)
	for n := 1; n <= 5*intentFiles; n++ {
		a := intended(n)
		if err := j.Intend(a); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(j.path(a.ID)); !os.IsNotExist(err) {
			t.Fatalf("the intent of attack %d took a new file (%v)", n, err)
		}
		a.State = Undone
		if err := j.Write(a, true); err != nil {
			t.Fatal(err)
		}
	}
	large := intended(1000)
	large.Error = string(bytes.Repeat([]byte{'x'}, intentSize))
	if err := j.Intend(large); err != nil {
		t.Fatal(err)
	}
	if got := read(t, journalIn(t, dir)); len(got) != 5*intentFiles+1 {
		t.Errorf("there are %d attacks, want %d and the large one", len(got), 5*intentFiles)
	}
}

func TestTheJournalNeedsNoRoomForIntents(t *testing.T) {
	dir := t.TempDir()
	for n := range intentFiles { // directories of these names cannot be written to
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprintf("intent-%d", n), "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	j := journalIn(t, dir)
	if err := j.Intend(intended(1)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, j); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}
