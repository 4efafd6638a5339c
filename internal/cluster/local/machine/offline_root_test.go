package machine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDiskOfAMachineThatIsOffCanBeWritten(t *testing.T) {
	s := spec(t)
	m := boots(t, s)
	in(t, m, "echo before > /var/before; sync")
	write := func(root string) error {
		b, err := os.ReadFile(filepath.Join(root, "before"))
		if err != nil || string(b) != "before\n" {
			return errors.Join(err, errors.New("content "+string(b)))
		}
		return os.WriteFile(filepath.Join(root, "offline"), []byte("offline"), 0o600)
	}
	if err := WithDisk(t.Context(), s.RunDir, s.Disk.Image, write); err == nil {
		t.Error("the disk of a running machine was mounted a second time")
	}
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := WithDisk(t.Context(), s.RunDir, s.Disk.Image, write); err != nil {
		t.Fatal(err)
	}
	t.Logf("mount, write, unmount: %v", time.Since(began))
	m = boots(t, s)
	if got := in(t, m, "cat /var/offline"); got != "offline" {
		t.Errorf("the machine reads %q", got)
	}
}
