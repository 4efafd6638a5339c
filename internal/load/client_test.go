package load

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// served gives a connection to a server that says text to each request, and
// then closes.
func served(t testing.TB, text string) *conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err != nil {
			return
		}
		io.WriteString(c, text)
	}()
	c, err := connect(t.Context(), (&net.Dialer{}).DialContext, l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAnswersAreReadToTheirEnd(t *testing.T) {
	for _, c := range []struct {
		name, text string
		status     int
		body       string
		reuse      bool
		fails      string
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true, ""},
		{"empty", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true, ""},
		{"chunks", "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n", 503, "hello", true, ""},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", false, ""},
		{"closing", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, ""},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, ""},
		{"interim first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 201, "ok", true, ""},
		{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", true, ""},
		{"broken off in the head", "HTTP/1.1 200 OK\r\nContent-Le", 0, "", false, "reset"},
		{"broken off in the body", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", 200, "hello", false, "reset"},
		{"broken off in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel", 200, "hel", false, "reset"},
		{"nothing", "", 0, "", false, "reset"},
		{"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", 0, "", false, "not HTTP"},
		{"a bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 0, "", false, "not HTTP"},
		{"an endless line", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2*readBuffer), 0, "", false, "not HTTP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := served(t, c.text).do([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), time.Now().Add(5*time.Second), false, true)
			if class(err) != c.fails {
				t.Fatalf("%v, want class %q", err, c.fails)
			}
			if err == nil && (a.status != c.status || string(a.body) != c.body || a.reuse != c.reuse || a.bytes != int64(len(c.body))) {
				t.Errorf("status %d, body %q of %d bytes, reuse %v; want %d, %q, %v", a.status, a.body, a.bytes, a.reuse, c.status, c.body, c.reuse)
			}
		})
	}
}

// text is a connection on which an answer is waiting.
type text struct {
	net.Conn
	r io.Reader
}

func (c text) Read(b []byte) (int, error) { return c.r.Read(b) }
func (text) Write(b []byte) (int, error)  { return len(b), nil }
func (text) SetDeadline(time.Time) error  { return nil }

func newReader(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), readBuffer) }

func readFrom(b []byte) (answer, error) {
	c := &conn{Conn: text{r: bytes.NewReader(b)}, r: newReader(b)}
	return c.do(nil, time.Time{}, false, true)
}

// FuzzAnswer compares with net/http whatever both accept.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readFrom(text)
		if err != nil {
			return
		}
		resp, err := http.ReadResponse(newReader(text), nil)
		if err != nil {
			return
		}
		want, err := io.ReadAll(io.LimitReader(resp.Body, maxKept))
		if err != nil || resp.StatusCode < 200 {
			return
		}
		if a.status != resp.StatusCode {
			t.Errorf("status %d, net/http reads %d", a.status, resp.StatusCode)
		}
		if len(resp.TransferEncoding) > 0 == strings.Contains(strings.ToLower(string(text)), "transfer-encoding") && !bytes.Equal(a.body, want) {
			t.Errorf("body %q, net/http reads %q", a.body, want)
		}
	})
}
