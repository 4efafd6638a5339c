package packetfilter

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownNamespace moves the test's thread to a new network namespace, for good, and
// gives a path to it.
func ownNamespace(t *testing.T) string {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: makes network namespaces")
	}
	runtime.LockOSThread() // without unlocking: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fmt.Sprintf("/proc/self/fd/%d", fd)
}

func table(family Family, verdict Verdict) Table {
	hook := map[Family]Hook{Bridge: Forward, IPv4: Output}[family]
	return Table{Family: family, Name: "zdl-test", Chains: []Chain{{Name: "c", Hook: hook, Rules: []Rule{
		{From: []netip.Prefix{netip.MustParsePrefix("198.18.1.0/24"), netip.MustParsePrefix("198.19.1.0/24")}, Do: verdict},
		{Out: []string{"a", "b"}, Protocol: "tcp", ToPort: 2380, Do: verdict},
	}}}}
}

func there(t *testing.T, path string, want bool) {
	t.Helper()
	for _, family := range []Family{Bridge, IPv4} {
		if found, err := Exists(path, family, "zdl-test"); err != nil || found != want {
			t.Errorf("table of %s: %v, %v, want %v", family, found, err, want)
		}
	}
}

func TestTablesComeAndGoTogether(t *testing.T) {
	path := ownNamespace(t)
	tables := []Table{table(Bridge, Drop), table(IPv4, Reject)}
	if err := Remove(path, tables...); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
	for range 2 {
		if err := Apply(path, tables...); err != nil {
			t.Fatal(err)
		}
		there(t, path, true)
		if n, err := Packets(path, tables...); err != nil || n != 0 {
			t.Errorf("%d packets counted, %v", n, err)
		}
	}
	if err := Remove(path, tables[0]); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one of the two is gone already
		if err := Remove(path, tables...); err != nil {
			t.Fatal(err)
		}
		there(t, path, false)
	}
}

func TestABadTableLeavesNothing(t *testing.T) {
	path := ownNamespace(t)
	bad := table(IPv4, Drop)
	bad.Chains[0].Hook, bad.Chains[0].NAT = Forward, true // nobody translates there
	if err := Apply(path, table(Bridge, Drop), bad); err == nil {
		t.Error("it was accepted")
	}
	there(t, path, false)
}

func TestAnOwnTableGoesWithItsOwner(t *testing.T) {
	path := ownNamespace(t)
	for range 2 {
		owner, err := Own(table(IPv4, Drop))
		if err != nil {
			t.Fatal(err)
		}
		if err := Remove(path, table(IPv4, Drop)); !errors.Is(err, unix.EPERM) {
			t.Errorf("somebody else could remove it: %v", err)
		}
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); ; {
			found, err := Exists(path, IPv4, "zdl-test")
			if err != nil {
				t.Fatal(err)
			}
			if !found {
				break
			}
			if time.Since(begin) > 5*time.Second {
				t.Fatal("it outlived its owner")
			}
		}
	}
}

func TestANamespaceThatIsGoneHasNoTables(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "gone")
	if err := Apply(missing, table(IPv4, Drop)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("apply: %v", err)
	}
	if err := Remove(missing, table(IPv4, Drop)); err != nil {
		t.Errorf("remove: %v", err)
	}
	if found, err := Exists(missing, IPv4, "zdl-test"); found || err != nil {
		t.Errorf("exists: %v, %v", found, err)
	}
}
