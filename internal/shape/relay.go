package shape

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// burst is how many frames are read from one device before those that are due
	// are written.
	burst = 64
	// idle bounds a sleep of the relay, so that a look at its beat tells whether
	// it lives.
	idle = 100 * time.Millisecond
	// urgent is the nice value of the relay's thread where it may not have a
	// real-time priority: frames must not wait for the lab's other work.
	urgent = -20
)

// relay carries the frames of one interface, both directions, on a thread of
// its own: Go's timers and scheduler would add milliseconds.
type relay struct {
	lanes []*lane
	wake  int // eventfd

	beat    atomic.Int64 // when its loop last went round, nanoseconds
	ended   chan struct{}
	failure error // valid once ended

	mu   sync.Mutex // guards orders and the lanes' disciplines
	free bool       // let everything pass at once
	stop bool
}

// lane is one direction.
type lane struct {
	*diversion
	received   bool
	discipline *Discipline[*frame]
	spare      []*frame
	size       int // of a frame's memory
	failed     uint64
}

// frame is one Ethernet frame after its virtio_net_hdr. It is used again when
// all its copies have departed.
type frame struct {
	memory []byte
	length int
	copies int
}

// start lets the relay run on a thread of its own.
func (r *relay) start() (err error) {
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	r.ended = make(chan struct{})
	r.beat.Store(monotonic())
	go r.run()
	return nil
}

// healthy tells whether the relay goes round.
func (r *relay) healthy(patience time.Duration) error {
	select {
	case <-r.ended:
		return fmt.Errorf("the relay has ended: %w", r.failure)
	default:
	}
	if still := monotonic() - r.beat.Load(); still > int64(patience) {
		return fmt.Errorf("the relay has stood still for %v", time.Duration(still))
	}
	return nil
}

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// run relays until finish.
func (r *relay) run() {
	defer close(r.ended)
	runtime.LockOSThread() // and never unlocked: the thread ends with its priority
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0); err != nil {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), urgent)
	}
	fds := []unix.PollFd{{Fd: int32(r.wake), Events: unix.POLLIN}}
	for _, l := range r.lanes {
		fds = append(fds, unix.PollFd{Fd: int32(l.fd), Events: unix.POLLIN})
	}
	for {
		timeout := unix.NsecToTimespec(r.pause())
		if _, err := unix.Ppoll(fds, &timeout, nil); err != nil && err != unix.EINTR {
			r.failure = fmt.Errorf("ppoll: %w", err)
			return
		}
		if fds[0].Revents != 0 {
			var count [8]byte
			_, _ = unix.Read(r.wake, count[:])
		}
		if !r.turn() {
			return
		}
	}
}

// pause is how long nothing is due.
func (r *relay) pause() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := int64(idle)
	now := monotonic()
	for _, l := range r.lanes {
		if at, ok := l.discipline.Next(); ok {
			next = min(next, max(at-now, 0))
		}
	}
	return next
}

// turn takes in what came and sends what is due.
func (r *relay) turn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := monotonic()
	r.beat.Store(now)
	for _, l := range r.lanes {
		l.take(now)
		if r.free {
			l.send(1<<63 - 1)
		} else {
			l.send(now)
		}
	}
	return !r.stop
}

// take reads at most burst frames.
func (l *lane) take(now int64) {
	for range burst {
		f := l.blank()
		n := transfer(unix.SYS_READ, l.fd, f.memory)
		if n <= vnetHeader {
			l.spare = append(l.spare, f)
			return
		}
		f.length = n
		f.copies = l.discipline.Arrive(now, n-vnetHeader, f)
		if f.copies == 0 {
			l.spare = append(l.spare, f)
		}
	}
}

// send writes what is due by now.
func (l *lane) send(now int64) {
	for {
		d, ok := l.discipline.Depart(now)
		if !ok {
			return
		}
		f := d.Frame
		if d.Flip >= 0 {
			l.sendDamaged(f, d.Flip)
		} else if transfer(unix.SYS_WRITE, l.fd, f.memory[:f.length]) < 0 {
			l.failed++
		}
		if f.copies--; f.copies == 0 {
			l.spare = append(l.spare, f)
		}
	}
}

// sendDamaged inverts a bit for this copy, and tells the kernel no longer that
// checksums were found to be right.
func (l *lane) sendDamaged(f *frame, bit int) {
	at, mask := vnetHeader+bit/8, byte(1)<<(bit%8)
	flags := f.memory[0]
	f.memory[0] = 0
	f.memory[at] ^= mask
	if transfer(unix.SYS_WRITE, l.fd, f.memory[:f.length]) < 0 {
		l.failed++
	}
	f.memory[at] ^= mask
	f.memory[0] = flags
}

func (l *lane) blank() *frame {
	if n := len(l.spare); n > 0 {
		f := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return f
	}
	return &frame{memory: make([]byte, l.size)}
}

// order changes what the loop does and wakes it.
func (r *relay) order(change func()) {
	r.mu.Lock()
	change()
	r.mu.Unlock()
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	_, _ = unix.Write(r.wake, one)
}

// pass sends at once what waits and lets all that still comes pass unharmed.
func (r *relay) pass() {
	r.order(func() {
		for _, l := range r.lanes {
			l.discipline.Release()
		}
		r.free = true
	})
}

// finish ends the loop.
func (r *relay) finish() {
	r.order(func() { r.stop = true })
	<-r.ended
	unix.Close(r.wake)
}

func (r *relay) stats() (ingress, egress Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lanes {
		s := l.discipline.Stats()
		s.Dropped += l.failed
		if l.received {
			ingress = s
		} else {
			egress = s
		}
	}
	return ingress, egress
}

// frameSize is room for a frame with two VLAN tags.
func frameSize(mtu int) int { return vnetHeader + 14 + 2*4 + mtu }

// close takes the diversions away; the relay has ended.
func (r *relay) close() error {
	var errs []error
	for _, l := range r.lanes {
		errs = append(errs, l.detach())
	}
	return errors.Join(errs...)
}
