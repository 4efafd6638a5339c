package fabric

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatADeadMakerLeftIsRepaired(t *testing.T) {
	f, topo := newLab(t, "small")
	worker := topo.Machine("worker-1")
	addr := worker.Addr().String() + ":8080"
	reachable := func(what string) {
		t.Helper()
		up(t, f, topo)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		l, err := f.Listen(ctx, worker.Name, "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		conn, err := f.Dial(ctx, "outside", "tcp", addr)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		conn.Close()
	}
	reachable("nothing is wrong")

	// Died after the file of the namespace, before the binding.
	if err := removeNamespace(f.Path(worker.Name)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path(worker.Name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reachable("an empty file")

	// Died after the cable was laid, before it was connected and had addresses.
	ns, err := enter(f.Path(worker.Name))
	if err != nil {
		t.Fatal(err)
	}
	link, err := ns.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ns.LinkSetDown(link), ns.flush(link)); err != nil {
		t.Fatal(err)
	}
	reachable("bare cable")

	// A process that outlives its machine keeps the old namespace and cable.
	if err := removeNamespace(f.Path(worker.Name)); err != nil {
		t.Fatal(err)
	}
	reachable("the old cable is still in the switch")
	ns.close()

	// A switch is gone, and all its cables.
	if err := removeNamespace(f.SwitchPath(worker.Zone)); err != nil {
		t.Fatal(err)
	}
	reachable("a new switch")

	// Bound twice.
	if err := unix.Mount(f.Path(worker.Name), f.Path(worker.Name), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	reachable("bound twice")
}

func TestDownLeavesNothingEvenOfAnUnknownLab(t *testing.T) {
	f, topo := newLab(t, "small")
	if err := os.WriteFile(f.Path("half-made"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(f.Path("outside"), f.Path("outside"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	// Something that goes away with the namespaces.
	l, err := f.Listen(t.Context(), "outside", "tcp", "198.18.254.10:9")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	unknown := New("fabric-test", nil, filepath.Dir(f.dir))
	begin := time.Now()
	if err := unknown.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d namespaces removed in %v", len(topo.Segments)+len(topo.Machines), time.Since(begin))
	if _, err := os.Stat(f.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", f.dir, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), f.dir) {
		t.Error("a namespace is still mounted")
	}
	if err := unknown.Down(t.Context()); err != nil {
		t.Errorf("second down: %v", err)
	}
}
