package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"
)

// exchanger makes one HTTP/1.1 request at a time per connection, by hand: Go's
// own client silently repeats a GET on a reused connection that turns out to be
// dead (net/http, Request.isReplayable), and that would hide what users see.
type exchanger struct {
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	addr    string // host:port
	request []byte
	expect  func(status int, header http.Header, body []byte) bool
	reuse   bool

	mu   sync.Mutex
	idle []*link
}

// link is a connection with its read buffer.
type link struct {
	net.Conn
	r *bufio.Reader
}

// maxBody is how much of an answer is kept for the expectation to look at.
const maxBody = 64 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

func newExchanger(c *Config) (*exchanger, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return nil, fmt.Errorf("probe %q: want an address like http://198.18.0.100/", c.URL)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	host := c.Host
	if host == "" {
		host = u.Host
	}
	connection := "close"
	if c.Reuse {
		connection = "keep-alive"
	}
	e := &exchanger{dial: c.Dial, addr: net.JoinHostPort(u.Hostname(), port), expect: c.Expect, reuse: c.Reuse}
	e.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: zdl-probe\r\nAccept: */*\r\nConnection: %s\r\n\r\n",
		u.RequestURI(), host, connection)
	return e, nil
}

// do makes one request that must be answered by the deadline.
func (e *exchanger) do(ctx context.Context, deadline time.Time) (class Class, status int, by string, err error) {
	l, err := e.connect(ctx, deadline)
	if err != nil {
		return dialClass(err), 0, "", err
	}
	keep := false
	defer func() {
		if keep {
			e.put(l)
			return
		}
		l.Close()
		l.r.Reset(nil)
		readers.Put(l.r)
	}()
	if err := l.SetDeadline(deadline); err != nil {
		return Reset, 0, "", err
	}
	if _, err := l.Write(e.request); err != nil {
		return brokenClass(err), 0, "", fmt.Errorf("send: %w", err)
	}
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return brokenClass(err), 0, "", fmt.Errorf("read the answer: %w", err)
	}
	status, by = resp.StatusCode, resp.Header.Get("X-Served-By")
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err != nil {
		return brokenClass(err), status, by, fmt.Errorf("read the answer's body: %w", err)
	}
	keep = e.reuse && !resp.Close
	switch {
	case e.expect(status, resp.Header, body):
		return OK, status, by, nil
	case status >= 500:
		return ServerError, status, by, fmt.Errorf("%s", resp.Status)
	}
	return Wrong, status, by, fmt.Errorf("not the expected answer: %s", resp.Status)
}

func (e *exchanger) connect(ctx context.Context, deadline time.Time) (*link, error) {
	e.mu.Lock()
	if n := len(e.idle); n > 0 {
		l := e.idle[n-1]
		e.idle = e.idle[:n-1]
		e.mu.Unlock()
		return l, nil
	}
	e.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	c, err := e.dial(ctx, "tcp", e.addr)
	if err != nil {
		return nil, err
	}
	r := readers.Get().(*bufio.Reader)
	r.Reset(c)
	return &link{Conn: c, r: r}, nil
}

func (e *exchanger) put(l *link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.idle = append(e.idle, l)
}

func (e *exchanger) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.idle {
		l.Close()
	}
	e.idle = nil
}

// dialClass tells a failing service from a prober that could not even try.
func dialClass(err error) Class {
	switch {
	case isTimeout(err), errors.Is(err, syscall.ETIMEDOUT):
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EPIPE):
		return Reset
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return Unreachable
	}
	return Missed // no sockets, no ports, no namespace: nothing was asked of the service
}

// brokenClass is for errors after the connection stood.
func brokenClass(err error) Class {
	if isTimeout(err) {
		return Timeout
	}
	for _, e := range []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ECONNREFUSED, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return Reset
		}
	}
	if errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
		return Unreachable
	}
	return Wrong // what came back is not HTTP
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
