package vm

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// archive writes the cpio format "newc", the one that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst in Linux). The
// first error is kept and returned by close.
type archive struct {
	w     *bufio.Writer
	inode int
	err   error
}

func newArchive(w io.Writer) *archive { return &archive{w: bufio.NewWriter(w)} }

func (a *archive) dir(name string) { a.entry(name, 0o040755, nil) }

func (a *archive) file(name string, mode uint32, data []byte) { a.entry(name, 0o100000|mode, data) }

func (a *archive) close() error {
	a.inode = -1 // the trailer's is 0
	a.entry("TRAILER!!!", 0, nil)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	a.inode++
	const owner, group, links, time, device = 0, 0, 1, 0, 0
	header := "070701"
	for _, field := range []int{a.inode, int(mode), owner, group, links, time, len(data),
		device, device, device, device, len(name) + 1, 0} {
		header += fmt.Sprintf("%08x", field)
	}
	a.write(header+name+"\x00", pad(len(header)+len(name)+1))
	a.write(string(data), pad(len(data)))
}

func (a *archive) write(s string, padding int) {
	if a.err == nil {
		_, a.err = a.w.WriteString(s + strings.Repeat("\x00", padding))
	}
}

// pad is what is missing to a multiple of four.
func pad(n int) int { return (4 - n%4) % 4 }
