package load

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pool holds users that have nothing to do, the latest on top: so no more of
// them stay warm, each with its connection, than the load needs.
type pool struct {
	mu   sync.Mutex
	idle []*user
}

func (p *pool) get() *user {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	u := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return u
}

func (p *pool) put(u *user) {
	p.mu.Lock()
	p.idle = append(p.idle, u)
	p.mu.Unlock()
}

// open makes iterations begin when they are due, with as many users as that
// takes. One that is due while the most that may be are busy is dropped.
func (r *runner) open(ctx context.Context) {
	r.pool = &pool{}
	var users sync.WaitGroup
	var all []*user
	sleeper := newSleeper()
	defer sleeper.close()
	for arrivals := r.p.Open.Arrivals(); ; {
		due, ok := arrivals.Next()
		if !ok || !sleeper.until(ctx, r.epoch.Add(due)) {
			break
		}
		u := r.pool.get()
		if u == nil {
			if r.users.Load() >= int64(r.p.MaxUsers) {
				r.dropped.Add(1)
				continue
			}
			u = r.user()
			all = append(all, u)
			users.Go(func() {
				defer u.leave()
				for due := range u.due {
					u.iterate(ctx, due)
					r.pool.put(u)
				}
			})
		}
		u.due <- due // it is idle, so there is room
	}
	for _, u := range all {
		close(u.due) // what was handed over is still carried out
	}
	users.Wait()
}

// closed keeps as many users busy as the schedule says, each with its next
// iteration when the one before is over.
func (r *runner) closed(ctx context.Context) {
	var users sync.WaitGroup
	var stops []chan struct{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := r.p.Closed.Duration()
	for {
		at := time.Since(r.epoch)
		want := 0
		if at < end && ctx.Err() == nil {
			want = int(r.p.Closed.Rate(at) + 0.5)
		}
		for len(stops) < want {
			stop := make(chan struct{})
			stops = append(stops, stop)
			u := r.user()
			users.Go(func() {
				defer u.leave()
				for ctx.Err() == nil {
					select {
					case <-stop:
						return
					default:
					}
					u.iterate(ctx, time.Since(r.epoch))
				}
			})
		}
		for len(stops) > want {
			close(stops[len(stops)-1])
			stops = stops[:len(stops)-1]
		}
		if at >= end || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	users.Wait()
}

// sleeper wakes up at a moment to some microseconds. Go's own timers wait in
// epoll, whose unit is a millisecond; counted from when a request was due, that
// would be half a millisecond on each.
type sleeper struct{}

// timerSlack is how much later the kernel may wake a thread, in ns: its default
// is 50 µs (prctl(2), PR_SET_TIMERSLACK).
const timerSlack = 1

func newSleeper() *sleeper {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) // only less precise without
	return &sleeper{}
}

func (*sleeper) close() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // 0: the default again
	runtime.UnlockOSThread()
}

// until sleeps until t; false when ctx ended before.
func (*sleeper) until(ctx context.Context, t time.Time) bool {
	const short = 2 * time.Millisecond
	for {
		d := time.Until(t)
		switch {
		case ctx.Err() != nil:
			return false
		case d <= 0:
			return true
		case d > short:
			if !pause(ctx, d-short) {
				return false
			}
		default:
			ts := unix.NsecToTimespec(int64(d))
			_ = unix.Nanosleep(&ts, nil) // woken early by a signal: once more
		}
	}
}

// pause sleeps for d; false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
