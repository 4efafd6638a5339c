package web

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// writeTimeout is how long one update may take to leave; a visitor whose line is
// slower than that is cut off, comes back and gets the state of then.
const writeTimeout = 10 * time.Second

// reconnectMS is after how many milliseconds a browser comes back; up to twice as
// many, so that not everybody comes at the same moment when a lab is restarted.
const reconnectMS = 1000

// getEvents streams what happens to one visitor, until that one goes.
func (s *server) getEvents(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r)
	if !c.local {
		closed, own, ok := s.door.gate.Open(c.session, c.address)
		switch {
		case ok:
			defer closed()
		case own:
			w.Header().Set("Retry-After", "10")
			fail(w, http.StatusTooManyRequests, "You are watching too many times.", "Close another tab with this page.")
			return
		default:
			w.Header().Set("Retry-After", "10")
			fail(w, http.StatusServiceUnavailable, "Too many people are watching.", "Try again in a while.")
			return
		}
	}
	h := s.hub
	seat := h.join()
	defer h.leave()
	out := &outlet{w: w, rc: http.NewResponseController(w), zipper: &h.zipper}
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store, no-transform")
	head.Set("X-Accel-Buffering", "no") // asks a proxy that gathers answers not to
	if !c.local {
		head.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			head.Set("Content-Encoding", "gzip")
			out.zip = true
		}
	}
	// Not every ResponseWriter has deadlines, a test's recorder has none.
	_ = out.rc.SetReadDeadline(time.Time{})
	if r.Method == http.MethodHead {
		return
	}
	at := h.position(r.Header.Get("Last-Event-ID"))
	if out.begin(fmt.Sprintf("retry: %d\n\n", reconnectMS+rand.IntN(reconnectMS))) != nil {
		return
	}
	var news []batch
	for {
		var wake <-chan struct{}
		news, wake = h.next(seat, at, news[:0])
		for i := range news {
			if out.send(&news[i]) != nil {
				return
			}
			at = news[i].id
		}
		clear(news) // what is kept here is not forgotten by the ring
		select {
		case <-wake:
		case <-r.Context().Done():
			return
		case <-h.d.Done:
			out.end()
			return
		}
	}
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.ReplaceAll(strings.TrimSpace(q), " ", "") != "q=0"
		}
	}
	return false
}

// outlet writes batches to one visitor, as they are or as a gzip stream.
type outlet struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	zip    bool
	zipper *zipper
	// Of what was sent, for the end of a gzip stream (RFC 1952).
	sum, size uint32
}

// gzipHead says: deflated, no name, no time, unknown system.
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// begin sends the first few bytes.
func (o *outlet) begin(text string) error {
	if !o.zip {
		return o.write([]byte(text))
	}
	// A stored block of deflate (RFC 1951, 3.2.4): the text itself.
	head := append([]byte{}, gzipHead...)
	head = append(head, 0)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(text)))
	head = binary.LittleEndian.AppendUint16(head, ^uint16(len(text)))
	o.count([]byte(text))
	return o.write(append(head, text...))
}

func (o *outlet) send(b *batch) error {
	if !o.zip {
		return o.write(b.plain)
	}
	o.count(b.plain)
	return o.write(b.deflated(o.zipper))
}

// end closes a gzip stream as it should be: an empty last block, the sum, the size.
func (o *outlet) end() {
	if o.zip {
		tail := binary.LittleEndian.AppendUint32([]byte{3, 0}, o.sum)
		_ = o.write(binary.LittleEndian.AppendUint32(tail, o.size)) // nothing follows
	}
}

func (o *outlet) count(plain []byte) {
	o.sum = crc32.Update(o.sum, crc32.IEEETable, plain)
	o.size += uint32(len(plain))
}

func (o *outlet) write(data []byte) error {
	_ = o.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := o.w.Write(data); err != nil {
		return err
	}
	return o.rc.Flush()
}
