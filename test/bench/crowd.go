package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"zdl/internal/arena"
)

// crowd is visitors of a page who watch, each with a session and an address of
// its own (all of 127.0.0.0/8 is loopback). To cost little themselves they do not
// read what they get: since the server compresses an update once for everybody,
// it is enough to know when which bytes came, and to read each once afterwards.
type crowd struct {
	address string
	began   time.Time
	seed    maphash.Seed
	work    sync.WaitGroup
	screens []*screen

	mu      sync.Mutex
	updates map[uint64][]byte // by hash, deflated
}

// screen is one visitor's.
type screen struct {
	conn   net.Conn
	cookie *http.Cookie
	mu     sync.Mutex
	got    []arrival
	bytes  int64
	err    error // why it ended
}

type arrival struct {
	hash uint64
	at   time.Duration // since the crowd began
}

func newCrowd(address string) *crowd {
	return &crowd{address: address, began: time.Now(), seed: maphash.MakeSeed(), updates: map[uint64][]byte{}}
}

// enter lets another visitor in.
func (c *crowd) enter(ctx context.Context) error {
	n := len(c.screens)
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}}
	conn, err := d.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	s := &screen{conn: conn}
	c.screens = append(c.screens, s)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a TCP connection has deadlines
	in := bufio.NewReaderSize(conn, 4096)
	fmt.Fprint(conn, "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\n\r\n")
	hello, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, hello.Body) // the next answer shows what is wrong
	if cookies := hello.Cookies(); len(cookies) == 1 {
		s.cookie = cookies[0]
	} else {
		return fmt.Errorf("visitor %d is given %d sessions", n, len(cookies))
	}
	fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nCookie: %s=%s\r\n\r\n", s.cookie.Name, s.cookie.Value)
	// Not http.ReadResponse: where an update ends is seen in the chunks.
	line, err := in.ReadString('\n')
	if err == nil && !strings.Contains(line, " 200 ") {
		err = fmt.Errorf("visitor %d is answered with %s", n, strings.TrimSpace(line))
	}
	for err == nil && line != "\r\n" {
		line, err = in.ReadString('\n')
	}
	if err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Time{})
	c.work.Go(func() { s.err = c.watch(s, in) })
	return nil
}

// watch reads updates until the connection ends.
func (c *crowd) watch(s *screen, in *bufio.Reader) error {
	var buffer []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size := 0
		if _, err := fmt.Sscanf(string(line), "%x", &size); err != nil || size == 0 {
			return errors.New("the stream was ended")
		}
		buffer = slices.Grow(buffer[:0], size+2)[:size+2]
		if _, err := io.ReadFull(in, buffer); err != nil {
			return err
		}
		at := time.Since(c.began)
		hash := maphash.Bytes(c.seed, buffer[:size])
		s.mu.Lock()
		s.got = append(s.got, arrival{hash, at})
		s.bytes += int64(size)
		s.mu.Unlock()
		c.mu.Lock()
		if _, known := c.updates[hash]; !known {
			c.updates[hash] = bytes.Clone(buffer[:size])
		}
		c.mu.Unlock()
	}
}

// leave ends it for all of them.
func (c *crowd) leave() {
	for _, s := range c.screens {
		s.conn.Close()
	}
	c.work.Wait()
}

// received is how many bytes all of them got so far.
func (c *crowd) received() (bytes int64) {
	for _, s := range c.screens {
		s.mu.Lock()
		bytes += s.bytes
		s.mu.Unlock()
	}
	return bytes
}

// games are the states of the game in an update, in order.
func games(update []byte) (out []arena.State) {
	text, _ := io.ReadAll(flate.NewReader(bytes.NewReader(update))) // a part of a stream has no end
	event := ""
	for line := range strings.Lines(string(text)) {
		if e, ok := strings.CutPrefix(line, "event: "); ok {
			event = strings.TrimSpace(e)
		}
		if d, ok := strings.CutPrefix(line, "data: "); ok && event == "arena" {
			var s arena.State
			if json.Unmarshal([]byte(d), &s) == nil {
				out = append(out, s)
			}
		}
	}
	return out
}

// seen is when each screen first showed a game that fits, in the order of the
// screens; those that never did are missing. Call it when the crowd has left.
func (c *crowd) seen(fits func(*arena.State) bool, states map[uint64][]arena.State) (out []time.Duration) {
	good := map[uint64]bool{}
	for hash, list := range states {
		good[hash] = slices.ContainsFunc(list, func(s arena.State) bool { return fits(&s) })
	}
	for _, s := range c.screens {
		if i := slices.IndexFunc(s.got, func(a arrival) bool { return good[a.hash] }); i >= 0 {
			out = append(out, s.got[i].at)
		}
	}
	return out
}

// read decodes every update once.
func (c *crowd) read() map[uint64][]arena.State {
	out := map[uint64][]arena.State{}
	for hash, update := range c.updates {
		out[hash] = games(update)
	}
	return out
}
