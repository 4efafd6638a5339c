package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// http1 makes one HTTP/1.1 request at a time per connection, by hand: Go's own
// client silently repeats a GET on a reused connection that turns out to be
// dead (net/http, Request.isReplayable), and that would hide what users see.
type http1 struct {
	*request
	connector
	head  []byte // request line and header, the same for every request
	reuse bool

	mu   sync.Mutex
	idle []*link
}

// connector opens connections to the address of a request.
type connector struct {
	byDial  func(ctx context.Context, network, addr string) (net.Conn, error)
	socket  func() (int, error) // nil: not to be used
	to      netip.AddrPort
	address string
	tls     *tls.Config // nil: none
}

func newConnector(c *Config, q *request) connector {
	out := connector{byDial: c.Dial, address: q.address, tls: c.TLS}
	if to, ok := literal(q.address); ok && c.Socket != nil {
		out.socket, out.to = c.Socket, to
	}
	return out
}

func (c *connector) dial(ctx context.Context, deadline time.Time) (net.Conn, error) {
	conn, err := c.connect(ctx, deadline)
	if err != nil || c.tls == nil {
		return conn, err
	}
	return secure(conn, c.tls, deadline)
}

func (c *connector) connect(ctx context.Context, deadline time.Time) (net.Conn, error) {
	if c.socket != nil {
		return bySocket(c.socket, c.to, deadline)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return c.byDial(ctx, "tcp", c.address)
}

// link is a connection with its read buffer.
type link struct {
	net.Conn
	r     *bufio.Reader
	since time.Time // when it became idle
}

const (
	// maxBody is how much of an answer is kept for the expectation to look at.
	maxBody = 64 << 10
	// maxIdle is how long a connection may have been idle to be used again. A
	// server may close one that is idle for longer just when a request is sent,
	// and that would be nobody's outage. At any rate that is probed with, the
	// connections in use are far from it.
	maxIdle = 2 * time.Second
)

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

func newHTTP1(c *Config, q *request) *http1 {
	connection := "close"
	if c.Reuse {
		connection = "keep-alive"
	}
	e := &http1{request: q, connector: newConnector(c, q), reuse: c.Reuse}
	e.head = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: zdl-probe\r\nAccept: */*\r\nConnection: %s\r\n",
		q.method, q.path, q.authority, connection)
	for _, f := range q.fields {
		e.head = fmt.Appendf(e.head, "%s: %s\r\n", f[0], f[1])
	}
	e.head = append(e.head, "\r\n"...)
	return e
}

// Ask implements Subject.
func (e *http1) Ask(ctx context.Context, deadline time.Time) (r Result) {
	l, err := e.link(ctx, deadline, &r)
	if err != nil {
		return Result{Class: DialClass(err), Err: err}
	}
	if e.exchange(l, deadline, &r) {
		e.put(l)
		return r
	}
	l.Close()
	l.r.Reset(nil)
	readers.Put(l.r)
	return r
}

// exchange sends one request and reads its answer; it tells whether the
// connection can be used again.
func (e *http1) exchange(l *link, deadline time.Time, r *Result) (keep bool) {
	broken := func(err error, doing string) bool {
		r.Class, r.Err = BrokenClass(err), fmt.Errorf("%s: %w", doing, err)
		r.Silent = r.Class == Timeout && silent(l.Conn)
		return false
	}
	if err := l.SetDeadline(deadline); err != nil {
		return broken(err, "set the deadline")
	}
	out, t := e.head, e.begin()
	if t.note != nil {
		out = append(append(make([]byte, 0, len(out)+len(t.note)), out...), t.note...)
	}
	if _, err := l.Write(out); err != nil {
		return broken(err, "send")
	}
	if _, err := l.r.Peek(1); err != nil {
		return broken(err, "read the answer")
	}
	r.FirstByte = time.Now()
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return broken(err, "read the answer")
	}
	r.Status, r.By = resp.StatusCode, resp.Header.Get("X-Served-By")
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil && len(body) == maxBody {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return broken(err, "read the answer's body")
	}
	r.Class, r.Err = e.judge(resp.StatusCode, resp.Header, body, t)
	return e.reuse && !resp.Close
}

func (e *http1) link(ctx context.Context, deadline time.Time, r *Result) (*link, error) {
	if l := e.take(); l != nil {
		return l, nil
	}
	c, err := e.dial(ctx, deadline)
	if err != nil {
		return nil, err
	}
	r.Connected = time.Now()
	reader := readers.Get().(*bufio.Reader)
	reader.Reset(c)
	return &link{Conn: c, r: reader}, nil
}

// take gives the connection that was used last, and closes those that have been
// idle for too long or that the server has ended.
func (e *http1) take() *link {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	old := 0
	for old < len(e.idle) && now.Sub(e.idle[old].since) > maxIdle {
		e.idle[old].Close()
		old++
	}
	e.idle = append(e.idle[:0], e.idle[old:]...)
	for n := len(e.idle); n > 0; n-- {
		l := e.idle[n-1]
		e.idle = e.idle[:n-1]
		if alive(l.Conn, true) {
			return l
		}
		l.Close()
	}
	return nil
}

func (e *http1) put(l *link) {
	l.since = time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = append(e.idle, l)
}

// Close implements Subject.
func (e *http1) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.idle {
		l.Close()
	}
	e.idle = nil
}
