package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Lane asks over HTTP/2 without TLS, with prior knowledge (RFC 9113, section
// 3.3), on frames of its own: a client library repeats requests that a dying
// connection refused, and opens connections when it sees fit.
//
// A lane with new connections makes one per request. One that reuses sends all
// requests as streams of one connection, as browsers do, and makes another when
// the server has said goodbye, a stream has failed, or streams run out. Requests
// under way stay where they are, so a connection that hangs fails all of them.
type http2Lane struct {
	*request
	connector
	header []byte // HPACK block of a request; refers to no dynamic table
	reuse  bool

	mu      sync.Mutex
	current *h2conn // new streams go here; nil: none yet
	reading sync.WaitGroup
	open    map[*h2conn]struct{}
}

func newHTTP2(c *Config, q *request) *http2Lane {
	e := &http2Lane{request: q, connector: newConnector(c, q), reuse: c.Reuse, open: map[*h2conn]struct{}{}}
	fields := append([][2]string{{":method", q.method}, {":scheme", "http"}, {":authority", q.authority}, {":path", q.path},
		{"user-agent", "zdl-probe"}, {"accept", "*/*"}}, q.fields...)
	for _, f := range fields {
		e.header = appendLiteral(e.header, f[0], f[1])
	}
	return e
}

// appendLiteral is a field without indexing and with a new name (RFC 7541,
// section 6.2.2): no state, so the same bytes do for every connection.
func appendLiteral(b []byte, name, value string) []byte {
	b = append(b, 0)
	for _, s := range []string{name, value} {
		if n := len(s); n < 127 {
			b = append(b, byte(n))
		} else {
			b = append(b, 127)
			for n -= 127; n >= 128; n /= 128 {
				b = append(b, byte(n%128+128))
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	return b
}

// Ask implements Subject.
func (e *http2Lane) Ask(ctx context.Context, deadline time.Time) (r Result) {
	if !e.reuse {
		return e.once(ctx, deadline)
	}
	c, err := e.connection(ctx, deadline, &r)
	if err != nil {
		return Result{Class: DialClass(err), Err: err}
	}
	s := newStream()
	if err := c.send(s, e.header, e.begin, deadline); err != nil {
		c.suspect()
		r.Class, r.Err = BrokenClass(err), fmt.Errorf("send: %w", err)
		return r
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-s.done:
		return e.conclude(s, r)
	case <-timer.C:
		s = c.abandon(s)
		select {
		case <-s.done: // it came at the last moment
			return e.conclude(s, r)
		default:
		}
		r.Class, r.Err, r.Silent = Timeout, errNoAnswer, silent(c.conn)
		if !s.first.IsZero() {
			r.FirstByte = s.first
		}
		return r
	}
}

// once makes one request on a connection of its own.
func (e *http2Lane) once(ctx context.Context, deadline time.Time) (r Result) {
	conn, err := e.dial(ctx, deadline)
	if err != nil {
		return Result{Class: DialClass(err), Err: err}
	}
	r.Connected = time.Now()
	c, s := newH2Conn(conn), newStream()
	defer c.close()
	if err := conn.SetDeadline(deadline); err != nil {
		r.Class, r.Err = BrokenClass(err), err
		return r
	}
	if err := c.send(s, e.header, e.begin, deadline); err != nil {
		r.Class, r.Err = BrokenClass(err), fmt.Errorf("send: %w", err)
		return r
	}
	c.read(s)
	r = e.conclude(s, r)
	r.Silent = s.silent
	return r
}

// conclude judges a stream that is over.
func (e *http2Lane) conclude(s *h2stream, r Result) Result {
	r.FirstByte, r.Status = s.first, s.status
	r.By = s.header.Get("X-Served-By")
	if s.err != nil {
		r.Class, r.Err = s.class, s.err
		return r
	}
	r.Class, r.Err = e.judge(s.status, s.header, s.body, s.ticket)
	return r
}

// connection gives the one that new streams go to. Where there is none, each
// request dials for itself, so that none hangs because another one's SYN was
// lost; the first that succeeds is kept for those to come.
func (e *http2Lane) connection(ctx context.Context, deadline time.Time, r *Result) (*h2conn, error) {
	e.mu.Lock()
	c := e.current
	e.mu.Unlock()
	if c != nil && c.usable() && alive(c.conn, false) {
		return c, nil
	}
	conn, err := e.dial(ctx, deadline)
	if err != nil {
		return nil, err
	}
	r.Connected = time.Now()
	c = newH2Conn(conn)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil && e.current.usable() && alive(e.current.conn, false) {
		c.leaving = true // for this one request
	} else {
		e.current = c
	}
	e.open[c] = struct{}{}
	e.reading.Go(func() {
		c.read(nil)
		e.mu.Lock()
		delete(e.open, c)
		e.mu.Unlock()
	})
	return c, nil
}

// Close implements Subject.
func (e *http2Lane) Close() {
	e.mu.Lock()
	for c := range e.open {
		c.close()
	}
	e.mu.Unlock()
	e.reading.Wait()
}

// decoders are reused: with a table of size 0 they remember nothing.
var decoders = sync.Pool{New: func() any { return hpack.NewDecoder(0, nil) }}

// settings is what a client says first (RFC 9113, section 3.4): no dynamic
// table, no push, much room for answers.
var settings = func() []byte {
	b := []byte(http2.ClientPreface)
	b = appendFrame(b, http2.FrameSettings, 0, 0, 18)
	for _, s := range []http2.Setting{{ID: http2.SettingHeaderTableSize, Val: 0}, {ID: http2.SettingEnablePush, Val: 0}, {ID: http2.SettingInitialWindowSize, Val: streamWindow}} {
		b = append(b, byte(s.ID>>8), byte(s.ID), byte(s.Val>>24), byte(s.Val>>16), byte(s.Val>>8), byte(s.Val))
	}
	return appendWindow(b, connWindow)
}()

const (
	streamWindow = 1 << 20
	connWindow   = 1 << 24 // beyond the 64 KiB that every connection begins with
)

func appendFrame(b []byte, t http2.FrameType, flags http2.Flags, stream uint32, length int) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(flags),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendWindow(b []byte, more uint32) []byte {
	b = appendFrame(b, http2.FrameWindowUpdate, 0, 0, 4)
	return append(b, byte(more>>24), byte(more>>16), byte(more>>8), byte(more))
}
