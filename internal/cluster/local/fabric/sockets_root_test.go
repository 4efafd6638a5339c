package fabric

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSocketsFollowAMachineThroughItsPowerSwitch(t *testing.T) {
	f, topo := newLab(t, "small")
	s := NewSockets(f.Path("outside"))
	defer s.Close()
	addr := topo.Machine("worker-1").Addr()
	l, err := f.Listen(t.Context(), "worker-1", "tcp", addr.String()+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer acceptAll(l)()
	reach := func() error {
		fd, err := s.Socket()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetNonblock(fd, false); err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrInet4{Port: 80, Addr: addr.As4()})
	}
	if err := reach(); err != nil {
		t.Fatalf("from outside: %v", err)
	}
	here, err := os.Readlink(ownNetNS)
	if err != nil {
		t.Fatal(err)
	}
	outside := topo.Machine("outside")
	if err := f.Unplug(context.WithoutCancel(t.Context()), outside); err != nil {
		t.Fatal(err)
	}
	if err := reach(); err == nil {
		t.Error("a machine without a network reached another one")
	}
	if _, err := f.Plug(t.Context(), outside); err != nil {
		t.Fatal(err)
	}
	if err := reach(); err != nil {
		t.Errorf("from outside, in its new namespace: %v", err)
	}
	if now, err := os.Readlink(ownNetNS); err != nil || now != here {
		t.Errorf("this thread is in %s, was in %s, %v", now, here, err)
	}
}

func BenchmarkSocket(b *testing.B) {
	f, _ := newLab(b, "small")
	s := NewSockets(f.Path("outside"))
	defer s.Close()
	for b.Loop() {
		fd, err := s.Socket()
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}
