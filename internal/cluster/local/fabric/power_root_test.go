package fabric

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

func TestUnplugIsSilentAndPlugBringsTheSameMachineBack(t *testing.T) {
	f, topo := newLab(t, "small")
	worker := topo.Machine("worker-1")
	l, err := f.Listen(t.Context(), worker.Name, "tcp", worker.Addr().String()+":8080")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := f.Dial(within(t, 5*time.Second), "outside", "tcp", worker.Addr().String()+":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(f.Path(worker.Name))
	if err != nil {
		t.Fatal(err)
	}

	begin := time.Now()
	if err := f.SetLink(t.Context(), worker, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("link down in %v", time.Since(begin))
	// What a dying machine says now must not arrive.
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close() // a reset
	l.Close()
	begin = time.Now()
	if err := f.Unplug(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	t.Logf("unplug in %v", time.Since(begin))
	conn.SetReadDeadline(time.Now().Add(700 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the peer of a machine without power read: %v; want silence", err)
	}
	if err := f.Unplug(t.Context(), worker); err != nil {
		t.Errorf("second unplug: %v", err)
	}
	if _, err := f.Dial(t.Context(), worker.Name, "tcp", "198.18.254.10:1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("dial from a machine without power: %v", err)
	}
	if err := f.SetLink(t.Context(), worker, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("set the link of a machine without power: %v", err)
	}

	begin = time.Now()
	if _, err := f.Plug(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	plugged := time.Since(begin)
	after, err := os.Stat(f.Path(worker.Name))
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) {
		t.Error("the machine came back with its old namespace")
	}
	serve(t, f, worker.Name, worker.Addr().String()+":8080")
	if _, err := get(within(t, 5*time.Second), f, "outside", worker.Addr().String()+":8080"); err != nil {
		t.Error(err)
	}
	t.Logf("plugged in after %v, answered after %v", plugged, time.Since(begin))
}

func TestALinkComesBack(t *testing.T) {
	f, topo := newLab(t, "small")
	worker := topo.Machine("worker-1")
	addr := worker.Addr().String() + ":8080"
	serve(t, f, worker.Name, addr)
	for round := range 3 {
		if _, err := get(within(t, 5*time.Second), f, "outside", addr); err != nil {
			t.Fatal(err)
		}
		if err := f.SetLink(t.Context(), worker, false); err != nil {
			t.Fatal(err)
		}
		if _, err := get(within(t, 150*time.Millisecond), f, "outside", addr); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("without a link: %v; want silence", err)
		}
		begin := time.Now()
		if err := f.SetLink(t.Context(), worker, true); err != nil {
			t.Fatal(err)
		}
		set := time.Since(begin)
		// Short attempts: TCP itself repeats a lost SYN only after a second. So does
		// ARP a question that was asked without a link.
		for {
			if _, err := get(within(t, 50*time.Millisecond), f, "outside", addr); err == nil {
				break
			}
			if time.Since(begin) > 3*time.Second {
				t.Fatal("no answer 3 s after the link came back")
			}
		}
		t.Logf("round %d: link set up in %v, answer after %v", round, set, time.Since(begin))
	}
}
