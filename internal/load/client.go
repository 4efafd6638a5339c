package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Dial opens connections; the default is this machine's.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// conn is one HTTP/1.1 connection. It is used by one goroutine at a time.
//
// net/http is not used: its client repeats requests on its own and costs several
// times as much CPU a request, which on a machine shared with the service is
// taken from the service.
type conn struct {
	net.Conn
	r    *bufio.Reader
	head []byte // of the last answer, if asked for
	body []byte
	used bool // a request was answered on it before
}

// answer is what came back.
type answer struct {
	status int
	bytes  int64         // of the body
	first  time.Time     // when the first byte came
	body   []byte        // if asked for; valid until the next request on the connection
	header func() []byte // raw head, likewise
	reuse  bool          // the connection may be used again
}

const (
	readBuffer = 8 << 10
	// maxHead bounds status line and headers; maxKept the body that is kept for
	// checks, bytes.
	maxHead = 64 << 10
	maxKept = 1 << 20
)

func connect(ctx context.Context, dial Dial, addr string, secure *tls.Config) (*conn, error) {
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		t := tls.Client(c, secure)
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		c = t
	}
	return &conn{Conn: c, r: bufio.NewReaderSize(c, readBuffer)}, nil
}

// do sends a request and reads the answer to its end. With keep the body is
// kept, up to maxKept.
func (c *conn) do(request []byte, deadline time.Time, head, keep bool) (answer, error) {
	a := answer{}
	if err := c.SetDeadline(deadline); err != nil {
		return a, err
	}
	if _, err := c.Write(request); err != nil {
		return a, err
	}
	if _, err := c.r.Peek(1); err != nil {
		return a, err
	}
	a.first = time.Now()
	c.head, c.body = c.head[:0], c.body[:0]
	for {
		h, err := c.readHead(keep)
		if err != nil {
			return a, err
		}
		a.status = h.status
		if h.status >= 100 && h.status < 200 && h.status != 101 {
			continue // interim; the final answer follows
		}
		err = c.readBody(&a, h, head, keep)
		a.body = c.body
		a.header = func() []byte { return c.head }
		c.used = true
		return a, err
	}
}

// head is what matters of an answer's head.
type head struct {
	status  int
	length  int64 // -1: not told
	chunked bool
	close   bool
}

// readHead reads a status line and headers (RFC 9112, 4 and 5).
func (c *conn) readHead(keep bool) (head, error) {
	h := head{length: -1}
	line, err := c.line()
	if err != nil {
		return h, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return h, fmt.Errorf("%w: it begins with %q", errNotHTTP, line[:min(len(line), 40)])
	}
	if h.status, err = strconv.Atoi(string(line[9:12])); err != nil || h.status < 100 {
		return h, fmt.Errorf("%w: status %q", errNotHTTP, line[9:12])
	}
	h.close = line[7] == '0'
	size := 0
	for {
		if line, err = c.line(); err != nil {
			return h, unexpected(err)
		}
		if len(line) == 0 {
			return h, nil
		}
		if size += len(line); size > maxHead {
			return h, fmt.Errorf("%w: its head is longer than %d bytes", errNotHTTP, maxHead)
		}
		if keep {
			c.head = append(append(c.head, line...), '\n')
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return h, fmt.Errorf("%w: header line %q", errNotHTTP, line[:min(len(line), 40)])
		}
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 0 {
				return h, fmt.Errorf("%w: Content-Length %q", errNotHTTP, value)
			}
			h.length = n
		case is(name, "transfer-encoding"):
			h.chunked = is(value, "chunked")
		case is(name, "connection"):
			h.close = h.close && !is(value, "keep-alive") || is(value, "close")
		}
	}
}

func is(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// line is the next line without its end. It is valid until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line is longer than %d bytes", errNotHTTP, readBuffer)
	}
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// readBody reads as RFC 9112, 6.3 says.
func (c *conn) readBody(a *answer, h head, noBody, keep bool) error {
	a.reuse = !h.close
	switch {
	case noBody, h.status == 204, h.status == 304, h.length == 0 && !h.chunked:
		return nil
	case h.chunked:
		for {
			line, err := c.line()
			if err != nil {
				return unexpected(err)
			}
			size, _, _ := bytes.Cut(line, []byte(";"))
			n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
			if err != nil || n < 0 {
				return fmt.Errorf("%w: chunk size %q", errNotHTTP, size)
			}
			if n > 0 {
				if err := c.take(a, n, keep); err != nil {
					return err
				}
			}
			for { // the end of the chunk, or the trailers after the last
				line, err := c.line()
				if err != nil {
					return unexpected(err)
				}
				if len(line) == 0 {
					break
				}
				if n > 0 {
					return fmt.Errorf("%w: a chunk is longer than it says", errNotHTTP)
				}
			}
			if n == 0 {
				return nil
			}
		}
	case h.length > 0:
		return c.take(a, h.length, keep)
	}
	// To the end of the connection.
	a.reuse = false
	for {
		n, err := c.takeSome(a, 1<<62, keep)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// take reads exactly n bytes of a body.
func (c *conn) take(a *answer, n int64, keep bool) error {
	for n > 0 {
		got, err := c.takeSome(a, n, keep)
		if n -= got; err != nil && n > 0 {
			return unexpected(err)
		}
	}
	return nil
}

func (c *conn) takeSome(a *answer, n int64, keep bool) (int64, error) {
	if c.r.Buffered() == 0 {
		if _, err := c.r.Peek(1); err != nil {
			return 0, err
		}
	}
	got := min(int64(c.r.Buffered()), n)
	if keep && len(c.body) < maxKept {
		part, _ := c.r.Peek(int(min(got, int64(maxKept-len(c.body))))) // it is buffered
		c.body = append(c.body, part...)
	}
	_, err := c.r.Discard(int(got))
	a.bytes += got
	return got, err
}

var errNotHTTP = errors.New("the answer is not HTTP/1.1")

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// class names how a request failed, for counting.
func class(err error) string {
	var n net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, errNotHTTP):
		return "not HTTP"
	}
	return "error"
}
