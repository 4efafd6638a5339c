package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: attaching and mounting an image needs loop devices and mount rights")
	}
}

// template is an ext4 image with one file of 1 MiB in it.
func template(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root", "file"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "template")
	out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", "-d", filepath.Join(dir, "root"), image, size).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return image
}

// mounted mounts the image until the test or the returned function ends it.
func mounted(t *testing.T, image string) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	if err := Mount(image, dir); err != nil {
		t.Fatal(err)
	}
	on := true
	unmount = func() {
		if on {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Errorf("unmount: %v", err)
			}
		}
		on = false
	}
	t.Cleanup(unmount)
	return dir, unmount
}

func released(t *testing.T, image string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		devices, err := Attached(image)
		if err != nil {
			t.Fatal(err)
		}
		if len(devices) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the image is still attached: %v", devices)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDiskHasTheSizeThatWasAskedFor(t *testing.T) {
	needRoot(t)
	from := template(t, "1G")
	for name, size := range map[string]int64{"smaller": 300 << 20, "same": 0, "larger": 4 << 30} {
		t.Run(name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "disk.img")
			began := time.Now()
			if err := Prepare(t.Context(), Image{Path: image, Template: from, Size: size}); err != nil {
				t.Fatal(err)
			}
			t.Logf("prepared in %v", time.Since(began))
			dir, unmount := mounted(t, image)
			if st, err := os.Stat(filepath.Join(dir, "file")); err != nil || st.Size() != 1<<20 {
				t.Errorf("the template's file: %v", err)
			}
			if size == 0 {
				size = 1 << 30
			}
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			if got := int64(st.Blocks) * st.Bsize; got < size*8/10 || got > size {
				t.Errorf("the machine sees %d MiB, want about %d", got>>20, size>>20)
			}
			unmount()
			released(t, image)
		})
	}
}

func TestFullDiskIsFullAndOverlayfsWorksOnIt(t *testing.T) {
	needRoot(t)
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := Prepare(t.Context(), Image{Path: image, Size: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	dir, _ := mounted(t, image)
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	options := strings.ReplaceAll("lowerdir=@/lower,upperdir=@/upper,workdir=@/work", "@", dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		t.Fatalf("overlayfs on the disk: %v", err)
	}
	defer unix.Unmount(merged, 0)
	err := os.WriteFile(filepath.Join(merged, "big"), make([]byte, 32<<20), 0o644)
	if err == nil || !strings.Contains(err.Error(), unix.ENOSPC.Error()) {
		t.Errorf("32 MiB on a disk of 16: %v, want %v", err, unix.ENOSPC)
	}
}

func TestPowerCutKeepsWhatWasSynced(t *testing.T) {
	needRoot(t)
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := Prepare(t.Context(), Image{Path: image, Size: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	dir, unmount := mounted(t, image)
	synced, err := os.Create(filepath.Join(dir, "synced"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := synced.WriteString("safe"); err != nil {
		t.Fatal(err)
	}
	if err := synced.Sync(); err != nil {
		t.Fatal(err)
	}
	synced.Close()
	if err := os.WriteFile(filepath.Join(dir, "not-synced"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = Shutdown(open)
	open.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "later"), nil, 0o644); err == nil {
		t.Error("wrote to a disk without power")
	}
	began := time.Now()
	unmount()
	t.Logf("let go in %v", time.Since(began))
	released(t, image)
	dir, _ = mounted(t, image)
	if b, err := os.ReadFile(filepath.Join(dir, "synced")); err != nil || string(b) != "safe" {
		t.Errorf("what was synced: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "not-synced")); err == nil {
		t.Error("what was never synced survived: the power was not cut")
	}
}

func TestCrashedAttachmentIsDetached(t *testing.T) {
	needRoot(t)
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	device, err := Attach(image)
	if err != nil {
		t.Fatal(err)
	}
	if devices, err := Attached(image); err != nil || len(devices) != 1 {
		t.Errorf("attached to %v, %v, want one device", devices, err)
	}
	if devices, err := Attached(filepath.Dir(image) + "/"); err != nil || len(devices) != 1 {
		t.Errorf("below its directory: %v, %v, want one device", devices, err)
	}
	device.Close()
	if err := Detach(image); err != nil {
		t.Fatal(err)
	}
	released(t, image)
}
