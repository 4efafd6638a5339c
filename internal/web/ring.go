package web

import (
	"bytes"
	"compress/flate"
	"sync"
)

// batch is what one update brings, encoded once for everybody.
type batch struct {
	id    int64 // of the last event in it
	plain []byte
	zip   *zipped
}

// zipped is a batch's text, deflated when the first one asks for it. The
// compressor starts anew and is flushed, so that the result depends on nothing
// before it and can be put into any visitor's gzip stream: a thousand streams
// cost one compression and no memory of their own.
type zipped struct {
	once  sync.Once
	bytes []byte
}

// zipper is the compressor of a hub: its tables take more than half a megabyte.
type zipper struct {
	mu sync.Mutex
	w  *flate.Writer
}

func (z *zipper) deflate(plain []byte) []byte {
	z.mu.Lock()
	defer z.mu.Unlock()
	var out bytes.Buffer
	if z.w == nil {
		z.w, _ = flate.NewWriter(&out, flate.DefaultCompression) // that level exists
	} else {
		z.w.Reset(&out)
	}
	z.w.Write(plain) // into memory: cannot fail
	z.w.Flush()
	return bytes.Clone(out.Bytes())
}

func (b *batch) deflated(z *zipper) []byte {
	b.zip.once.Do(func() { b.zip.bytes = z.deflate(b.plain) })
	return b.zip.bytes
}

// Bounds of what is kept for those who come back: half a minute, and as many
// bytes.
const (
	keepBatches = 150
	keepBytes   = 3 << 20
)

// ring is the latest batches, with consecutive IDs.
type ring struct {
	batches []batch // oldest first
	bytes   int
	last    int64 // ID of the newest, also when that is forgotten
}

// add appends a batch and gives it its ID.
func (r *ring) add(plain []byte) {
	r.last++
	r.batches = append(r.batches, batch{id: r.last, plain: plain, zip: &zipped{}})
	r.bytes += len(plain)
	drop := 0
	for len(r.batches)-drop > keepBatches || r.bytes > keepBytes && len(r.batches)-drop > 1 {
		r.bytes -= len(r.batches[drop].plain)
		drop++
	}
	if drop > 0 {
		n := copy(r.batches, r.batches[drop:])
		clear(r.batches[n:])
		r.batches = r.batches[:n]
	}
}

// skip forgets everything, and nobody who has seen it is up to date.
func (r *ring) skip() {
	clear(r.batches)
	r.batches, r.bytes = r.batches[:0], 0
	r.last++
}

// after appends the batches behind id to out; false if some of them are
// forgotten or id is not of this ring.
func (r *ring) after(id int64, out []batch) ([]batch, bool) {
	first := r.last - int64(len(r.batches)) + 1
	if id < first-1 || id > r.last {
		return out, false
	}
	return append(out, r.batches[id-first+1:]...), true
}
