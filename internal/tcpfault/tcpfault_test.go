package tcpfault

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// echo answers everything with itself, and gives a relay in front of it.
func echo(t *testing.T, latency time.Duration) (client *net.TCPConn, server net.Listener) {
	t.Helper()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	front, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := front.Accept()
		if err != nil {
			return
		}
		relay(t.Context(), conn.(*net.TCPConn), Config{Server: netip.MustParseAddrPort(server.Addr().String()), Latency: latency})
	}()
	conn, err := net.Dial("tcp4", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.(*net.TCPConn), server
}

func TestEveryRoundTripIsLateByTheLatency(t *testing.T) {
	const latency = 30 * time.Millisecond
	conn, _ := echo(t, latency)
	buf := make([]byte, 1)
	for range 5 {
		begin := time.Now()
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < latency {
			t.Errorf("a round trip took %v", took)
		}
	}
}

func TestNothingIsLostOrMixedUp(t *testing.T) {
	conn, _ := echo(t, 5*time.Millisecond)
	data := make([]byte, 20<<20) // more than the relay and the sockets hold
	r := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	go func() {
		_, _ = conn.Write(data)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back, equal: %v, %v", len(got), len(data), bytes.Equal(got, data), err)
	}
}

func TestAServerThatIsNotThereResets(t *testing.T) {
	front, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	conn, err := net.Dial("tcp4", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := front.Accept()
	if err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	relay(t.Context(), accepted.(*net.TCPConn), Config{Server: netip.MustParseAddrPort(gone.Addr().String())})
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
}
