// Package proving proves the prober: a server that goes down for known spans of
// time, and a trial that compares them with the outages that a prober reports.
package proving

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Mode is a way of being down.
type Mode string

const (
	Error   Mode = "503"     // it answers 503
	Wrong   Mode = "wrong"   // 200 with something else
	Stall   Mode = "stalled" // it takes requests and never answers them
	Reset   Mode = "reset"   // it resets every connection, old and new
	Refused Mode = "refused" // nobody listens, and old connections are reset
)

// Modes are all there are.
var Modes = []Mode{Error, Wrong, Stall, Reset, Refused}

// Server answers HTTP/1.1 and HTTP/2 without TLS on a loopback port, until it is
// told to be down.
type Server struct {
	addr   string
	mode   atomic.Value // of type Mode; "" is up
	server *http.Server
	wg     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while nobody listens
	conns    map[net.Conn]struct{}
}

const body = "It works.\n"

// Right is what to expect of it.
func Right(status int, _ http.Header, got []byte) bool { return status == 200 && string(got) == body }

// Start begins to serve.
func Start() (*Server, error) {
	s := &Server{conns: map[net.Conn]struct{}{}}
	s.mode.Store(Mode(""))
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = &http.Server{Handler: s, Protocols: &protocols, ConnState: s.track, ReadHeaderTimeout: time.Minute}
	s.addr = "127.0.0.1:0"
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is where it is.
func (s *Server) URL() string { return "http://" + s.addr + "/" }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// What it writes is decided once, after the request has been read.
	var note []byte
	if r.Method == http.MethodPost {
		var err error
		if note, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10)); err != nil {
			return
		}
	}
	switch s.mode.Load().(Mode) {
	case Error:
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	case Wrong:
		io.WriteString(w, "something else\n")
		return
	case Stall:
		<-r.Context().Done() // the client has gone
		return
	case Reset, Refused:
		panic(http.ErrAbortHandler) // it came through just before its connection was reset
	}
	if note != nil {
		digest := sha256.Sum256(note)
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, hex.EncodeToString(digest[:]))
		return
	}
	io.WriteString(w, body)
}

func (s *Server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
		if s.mode.Load().(Mode) == Reset {
			reset(c)
		}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func (s *Server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.addr, s.listener = l.Addr().String(), l
	s.mu.Unlock()
	s.wg.Go(func() {
		if err := s.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			panic(err)
		}
	})
	return nil
}

// Span is a time for which the server was down: it began between From and Down
// and ended between Up and To.
type Span struct {
	Mode               Mode
	From, Down, Up, To time.Time
}

// Down takes the server down for some time, at least.
func (s *Server) Down(ctx context.Context, mode Mode, length time.Duration) (Span, error) {
	span := Span{Mode: mode, From: time.Now()}
	s.mode.Store(mode)
	if mode == Reset || mode == Refused {
		s.mu.Lock()
		if mode == Refused {
			s.listener.Close()
		}
		for c := range s.conns {
			reset(c)
		}
		s.mu.Unlock()
	}
	span.Down = time.Now()
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
	span.Up = time.Now()
	var err error
	if mode == Refused {
		// A connection in its backlog was accepted by the kernel before.
		s.mode.Store(Mode(""))
		if err = s.listen(); err != nil {
			err = fmt.Errorf("come back: %w", err)
		}
	} else {
		s.mode.Store(Mode(""))
	}
	span.To = time.Now()
	return span, err
}

// Close ends it.
func (s *Server) Close() {
	s.server.Close()
	s.wg.Wait()
}
