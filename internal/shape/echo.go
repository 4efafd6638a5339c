package shape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Ping asks for ICMP echoes, to see what a shaping does to a path.
type Ping struct {
	Netns string       // where it is sent from
	To    []netip.Addr // each is asked; usually one
	Count int          // echoes, of each
	Gap   time.Duration
	Size  int // bytes of payload, at least 8
	// Wait is how long the last echo may take.
	Wait time.Duration
	// First: return with the first answer.
	First bool
}

// Echoes is what came back.
type Echoes struct {
	Sent, Received int // without copies
	Copies         int // that arrived again
	Overtakes      int // that arrived before one that was sent earlier
	Times          []time.Duration
	From           netip.Addr    // who answered first
	Span           time.Duration // from the first answer to the last
	Took           time.Duration // from the first request to the last answer
}

// Median round-trip time, 0 when nothing came back.
func (e *Echoes) Median() time.Duration {
	if len(e.Times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(e.Times))[len(e.Times)/2]
}

const echoHeader = 8

// Do sends and waits until all came back or Wait is over.
func (p Ping) Do() (Echoes, error) {
	fd := -1
	err := inNamespace(p.Netns, func(*netlink.Handle) (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return Echoes{}, fmt.Errorf("ping: %w", err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	run := pinging{Ping: p, fd: fd, id: rand.IntN(1 << 16), sent: map[int]int64{}, seen: map[int]bool{}, highest: -1}
	err = run.do()
	run.Span = time.Duration(run.last - run.earliest)
	if run.Received > 0 {
		run.Took = time.Duration(run.last - run.sent[0])
	}
	return run.Echoes, err
}

// pinging is one run of Ping.
type pinging struct {
	Ping
	Echoes
	fd, id         int
	sent           map[int]int64
	seen           map[int]bool
	highest        int
	earliest, last int64
}

func (p *pinging) do() error {
	next := monotonic()
	total := p.Count * len(p.To)
	for i := range total {
		for now := monotonic(); now < next; now = monotonic() {
			if err := p.receive(next - now); err != nil {
				return err
			}
		}
		next += int64(p.Gap)
		if err := p.send(i, p.To[i%len(p.To)]); err != nil {
			return err
		}
	}
	for end := monotonic() + int64(p.Wait); p.Received < total && !(p.First && p.Received > 0); {
		now := monotonic()
		if now >= end {
			return nil
		}
		if err := p.receive(end - now); err != nil {
			return err
		}
	}
	return nil
}

func (p *pinging) send(seq int, to netip.Addr) error {
	data := make([]byte, max(p.Size, 8))
	binary.NativeEndian.PutUint64(data, uint64(monotonic()))
	b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: p.id, Seq: seq, Data: data}}).Marshal(nil)
	if err != nil {
		return err
	}
	p.sent[seq] = monotonic()
	p.Sent++
	err = unix.Sendto(p.fd, b, 0, &unix.SockaddrInet4{Addr: to.As4()})
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN):
		return nil // lost
	}
	return os.NewSyscallError("sendto", err)
}

// receive waits for at most that many nanoseconds and takes in what is there.
func (p *pinging) receive(wait int64) error {
	timeout := unix.NsecToTimespec(wait)
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	if n, err := unix.Ppoll(fds, &timeout, nil); err != nil || n == 0 {
		if errors.Is(err, unix.EINTR) {
			err = nil
		}
		return os.NewSyscallError("ppoll", err)
	}
	b := make([]byte, 65536)
	for {
		n, from, err := unix.Recvfrom(p.fd, b, 0)
		if err != nil { // nothing more, or the error of a message before
			return nil
		}
		now := monotonic()
		source, ok := from.(*unix.SockaddrInet4)
		header := int(b[0]&0x0f) * 4
		if !ok || n < header+echoHeader {
			continue
		}
		if sum(b[header:n]) != 0xffff { // raw sockets get what is damaged as well
			continue
		}
		m, err := icmp.ParseMessage(1, b[header:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == p.id {
			p.note(e.Seq, now, netip.AddrFrom4(source.Addr))
		}
	}
}

// sum is the one's complement sum of RFC 1071, 0xffff over a message that is
// intact.
func sum(b []byte) uint16 {
	total := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		total += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		total += uint32(b[0]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}

func (p *pinging) note(seq int, now int64, from netip.Addr) {
	at, ours := p.sent[seq]
	if !ours {
		return
	}
	p.last = now
	if p.seen[seq] {
		p.Copies++
		return
	}
	p.seen[seq] = true
	if p.Received == 0 {
		p.From, p.earliest = from, now
	}
	p.Received++
	if seq < p.highest {
		p.Overtakes++
	}
	p.highest = max(p.highest, seq)
	p.Times = append(p.Times, time.Duration(now-at))
}
