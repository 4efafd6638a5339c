package fabric

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func threads(t testing.TB) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func TestDialTellsWhatWentWrong(t *testing.T) {
	f, topo := newLab(t, "small")
	worker := topo.Machine("worker-1")

	_, err := f.Dial(within(t, 5*time.Second), "outside", "tcp", worker.Addr().String()+":81")
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("nobody listens: %v, want refused", err)
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || op.Addr.String() != worker.Addr().String()+":81" {
		t.Errorf("nobody listens: %#v, want a net.OpError of that address", err)
	}
	if _, err := f.Dial(t.Context(), "nobody", "tcp", "198.18.0.1:80"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("from a machine that is not there: %v", err)
	}
	for _, bad := range []string{"worker-1:80", "198.18.0.1", "[::1]:80", "198.18.0.1:99999"} {
		if _, err := f.Dial(t.Context(), "outside", "tcp", bad); err == nil {
			t.Errorf("dialled %q", bad)
		}
	}

	if err := f.SetLink(t.Context(), worker, false); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = f.Dial(within(t, 100*time.Millisecond), "outside", "tcp", worker.Addr().String()+":80")
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v, want a timeout", err)
	}
	if took := time.Since(begin); took < 90*time.Millisecond || took > time.Second {
		t.Errorf("a dial of 100 ms took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := f.Dial(ctx, "outside", "tcp", worker.Addr().String()+":80"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDialSpeaksUDP(t *testing.T) {
	f, topo := newLab(t, "small")
	var server net.PacketConn
	err := f.Do("cp-1", func() (err error) {
		server, err = net.ListenPacket("udp4", topo.Machine("cp-1").Addr().String()+":53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	conn, err := f.Dial(t.Context(), "outside", "udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 16)
	n, _, err := server.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "hello" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

func TestPendingDialsHoldNoThreads(t *testing.T) {
	f, topo := newLab(t, "small")
	worker := topo.Machine("worker-1")
	if err := f.SetLink(t.Context(), worker, false); err != nil {
		t.Fatal(err)
	}
	before := threads(t)
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			conn, err := f.Dial(within(t, time.Second), "outside", "tcp", worker.Addr().String()+":80")
			if err == nil {
				conn.Close()
				t.Error("reached a machine without a link")
			}
		})
	}
	pending := 0
	for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; {
		pending = max(pending, threads(t))
	}
	wg.Wait()
	t.Logf("%d threads before, at most %d during 500 dials that nobody answers", before, pending)
	if pending > before+32 {
		t.Errorf("%d more threads", pending-before)
	}
}

func TestDialsLeaveTheirThreadsAtHome(t *testing.T) {
	f, topo := newLab(t, "small")
	home, err := os.Readlink(ownNetNS)
	if err != nil {
		t.Fatal(err)
	}
	addr := topo.Machine("worker-1").Addr().String() + ":80"
	l, err := f.Listen(t.Context(), "worker-1", "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer acceptAll(l)()
	const dials, workers = 4000, 8
	begin := time.Now()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range dials / workers {
				conn, err := f.Dial(t.Context(), "outside", "tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conn.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
				conn.Close()
			}
		})
	}
	wg.Wait()
	t.Logf("%.0f dials a second, %d threads", dials/time.Since(begin).Seconds(), threads(t))
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && ns != home {
			t.Errorf("thread %s stayed in %s", task.Name(), ns)
		}
	}
}

// acceptAll ends every connection when its client does; the result stops it.
func acceptAll(l net.Listener) func() {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				io.Copy(io.Discard, conn)
				conn.Close()
			})
		}
	})
	return func() { l.Close(); wg.Wait() }
}

func BenchmarkDial(b *testing.B) {
	f, topo := newLab(b, "small")
	addr := topo.Machine("lb-1").Addr().String() + ":80"
	l, err := f.Listen(b.Context(), "lb-1", "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer acceptAll(l)()
	for b.Loop() {
		conn, err := f.Dial(b.Context(), "outside", "tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		conn.(*net.TCPConn).SetLinger(0) // no TIME_WAIT
		conn.Close()
	}
}
