package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn is one HTTP/2 connection.
type h2conn struct {
	conn net.Conn

	out     sync.Mutex // held while writing, and while taking a stream's number
	buf     []byte
	begun   bool // the preface has been sent
	next    uint32
	consume int // bytes of bodies that the server has not been given back

	mu      sync.Mutex
	streams map[uint32]*h2stream
	most    uint32 // streams at a time that the server allows
	window  int64  // bytes of bodies that the server still takes
	leaving bool   // no new streams
	dead    bool
}

// h2stream is one request and its answer. It belongs to the reader until done is
// closed.
type h2stream struct {
	id     uint32
	ticket ticket
	first  time.Time
	status int
	header http.Header
	body   []byte
	class  Class
	err    error
	silent bool // it is known that nothing had arrived at the deadline
	done   chan struct{}
}

var (
	errNoAnswer = errors.New("no answer in time")
	errClosed   = fmt.Errorf("the connection was closed: %w", io.ErrUnexpectedEOF)
)

func newStream() *h2stream { return &h2stream{done: make(chan struct{})} }

func newH2Conn(c net.Conn) *h2conn {
	// 65535 is every connection's first window, and the number of streams is
	// unlimited until the server says otherwise (RFC 9113, sections 6.9.2, 6.5.2).
	return &h2conn{conn: c, next: 1, most: 1 << 31, window: 65535, streams: map[uint32]*h2stream{}}
}

// usable tells whether another stream may be begun.
func (c *h2conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.leaving && !c.dead && uint32(len(c.streams)) < c.most && c.window >= noteLength && c.next < 1<<30
}

// send writes a request in one piece and makes s its stream.
func (c *h2conn) send(s *h2stream, header []byte, begin func() ticket, deadline time.Time) error {
	c.out.Lock()
	defer c.out.Unlock()
	s.ticket = begin()
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return errClosed
	}
	s.id = c.next
	c.next += 2
	c.streams[s.id] = s
	c.window -= int64(len(s.ticket.note))
	c.mu.Unlock()
	b := c.buf[:0]
	if !c.begun {
		c.begun = true
		b = append(b, settings...)
	}
	flags := http2.FlagHeadersEndHeaders
	if s.ticket.note == nil {
		flags |= http2.FlagHeadersEndStream
	}
	b = append(appendFrame(b, http2.FrameHeaders, flags, s.id, len(header)), header...)
	if s.ticket.note != nil {
		b = append(appendFrame(b, http2.FrameData, http2.FlagDataEndStream, s.id, len(s.ticket.note)), s.ticket.note...)
	}
	c.buf = b
	return c.write(b, deadline)
}

// write needs out to be held.
func (c *h2conn) write(b []byte, deadline time.Time) error {
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}

// reply answers the server's frames. Its failure shows when reading goes on.
func (c *h2conn) reply(b []byte) {
	c.out.Lock()
	defer c.out.Unlock()
	_ = c.write(b, time.Now().Add(time.Second))
}

// suspect takes no new streams: one has failed here.
func (c *h2conn) suspect() {
	c.mu.Lock()
	c.leaving = true
	rest := len(c.streams)
	c.mu.Unlock()
	if rest == 0 {
		c.close()
	}
}

// abandon gives a stream up whose time is over, and with it the connection for
// all who come later. The copy it returns belongs to the caller.
func (c *h2conn) abandon(s *h2stream) *h2stream {
	c.mu.Lock()
	delete(c.streams, s.id)
	mine := *s
	c.mu.Unlock()
	select {
	case <-mine.done:
	default:
		c.suspect()
	}
	return &mine
}

func (c *h2conn) close() {
	c.mu.Lock()
	c.dead = true
	c.mu.Unlock()
	c.conn.Close()
}

// read takes frames until the connection ends or, if last is given, that stream
// is over. Streams that are still open then have failed.
func (c *h2conn) read(last *h2stream) {
	r := readers.Get().(*bufio.Reader)
	r.Reset(c.conn)
	framer := http2.NewFramer(io.Discard, r)
	framer.SetReuseFrames()
	framer.SetMaxReadFrameSize(1 << 14) // SETTINGS_MAX_FRAME_SIZE, of which we said nothing
	decoder := decoders.Get().(*hpack.Decoder)
	framer.ReadMetaHeaders = decoder
	var err error
	for err == nil {
		var f http2.Frame
		if f, err = framer.ReadFrame(); err == nil {
			err = c.handle(f)
		}
		if last != nil {
			select {
			case <-last.done:
				err = errClosed
			default:
			}
		}
	}
	r.Reset(nil)
	readers.Put(r)
	decoder.SetEmitFunc(nil)
	_ = decoder.Close() // it forgets what a broken connection left half decoded
	decoders.Put(decoder)
	c.mu.Lock()
	c.dead = true
	left := c.streams
	quiet := isTimeout(err) && silent(c.conn)
	c.streams = map[uint32]*h2stream{}
	for _, s := range left {
		s.class, s.err = BrokenClass(err), fmt.Errorf("read the answer: %w", err)
		s.silent = quiet
		close(s.done)
	}
	c.mu.Unlock()
	c.conn.Close()
}

// handle takes one frame. An error ends the connection.
func (c *h2conn) handle(f http2.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.headers(f)
	case *http2.DataFrame:
		if c.consume += len(f.Data()); c.consume > connWindow/2 {
			more := uint32(c.consume)
			c.consume = 0
			go c.reply(appendWindow(nil, more)) // rare: once in 8 MiB
		}
		s := c.streams[f.StreamID]
		if s == nil {
			return nil // given up
		}
		s.body = append(s.body, f.Data()[:min(len(f.Data()), maxBody-len(s.body))]...)
		if f.StreamEnded() {
			c.finish(s)
		}
	case *http2.RSTStreamFrame:
		if s := c.streams[f.StreamID]; s != nil {
			c.leaving = true
			s.class, s.err = Reset, fmt.Errorf("the server reset the stream: %v", f.ErrCode)
			c.finish(s)
		}
	case *http2.GoAwayFrame:
		c.leaving = true
		for id, s := range c.streams {
			if id > f.LastStreamID {
				s.class, s.err = Reset, fmt.Errorf("the server is closing the connection and did not take the request: %v", f.ErrCode)
				c.finish(s)
			}
		}
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil
		}
		if v, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
			c.most = v
		}
		go c.reply(appendFrame(nil, http2.FrameSettings, http2.FlagSettingsAck, 0, 0))
	case *http2.PingFrame:
		if !f.IsAck() {
			go c.reply(append(appendFrame(nil, http2.FramePing, http2.FlagPingAck, 0, 8), f.Data[:]...))
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.window += int64(f.Increment)
		}
	}
	return nil
}

// headers takes the begin of an answer, or its trailers.
func (c *h2conn) headers(f *http2.MetaHeadersFrame) error {
	s := c.streams[f.StreamID]
	if s == nil {
		return nil
	}
	if s.first.IsZero() {
		s.first = time.Now()
	}
	if s.header == nil {
		status, err := strconv.Atoi(f.PseudoValue("status"))
		if err != nil {
			return fmt.Errorf("an answer with status %q", f.PseudoValue("status"))
		}
		if status >= 100 && status < 200 {
			return nil // the real one follows
		}
		s.status, s.header = status, make(http.Header, 8)
		for _, h := range f.RegularFields() {
			s.header.Add(http.CanonicalHeaderKey(h.Name), h.Value)
		}
	}
	if f.StreamEnded() {
		c.finish(s)
	}
	return nil
}

// finish ends a stream. The last one takes a connection with it that is left.
func (c *h2conn) finish(s *h2stream) {
	delete(c.streams, s.id)
	close(s.done)
	if c.leaving && len(c.streams) == 0 {
		c.conn.Close()
	}
}
