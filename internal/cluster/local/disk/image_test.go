package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// sparse is a file of 64 MiB with 8 KiB of data in the middle and 1 at the end.
func sparse(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(64 << 20); err != nil {
		t.Fatal(err)
	}
	for off, data := range map[int64][]byte{20 << 20: bytes.Repeat([]byte("ab"), 4<<10), 64<<20 - 1: {'z'}} {
		if _, err := f.WriteAt(data, off); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestCopyKeepsContentAndHoles(t *testing.T) {
	from := sparse(t)
	to := filepath.Join(t.TempDir(), "copy")
	if err := CopySparse(from, to); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the copy differs")
	}
	if n := allocated(t, to); n > 1<<20 {
		t.Errorf("the copy takes %d bytes, its data are 8193", n)
	}
}

func TestCopyNeverOverwrites(t *testing.T) {
	from := sparse(t)
	if err := CopySparse(from, from); err == nil {
		t.Error("copied a file over itself")
	}
}

func TestExistingImageIsNeverTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), Image{Path: path, Template: sparse(t), Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "data" {
		t.Errorf("the image became %q", b)
	}
}

func TestInterruptedCopyIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(path+".partial", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), Image{Path: path, Template: sparse(t)}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left beside the image: %v", left)
	}
}
