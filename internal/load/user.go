package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// user is one virtual user: it keeps its connections and variables.
type user struct {
	r      *runner
	shard  *shard
	random *rand.Rand
	conns  map[string]*conn
	vars   map[string]string
	due    chan time.Duration // of an open loop: when its next iteration was due
}

func (r *runner) user() *user {
	n := r.users.Add(1)
	r.most.Store(max(r.most.Load(), n)) // users begin one at a time
	return &user{
		r: r, shard: r.shards[int(n)%len(r.shards)], random: rand.New(rand.NewPCG(r.p.Seed, uint64(n))),
		conns: map[string]*conn{}, vars: map[string]string{}, due: make(chan time.Duration, 1),
	}
}

func (u *user) leave() {
	u.r.users.Add(-1)
	for _, c := range u.conns {
		c.Close()
	}
}

func (u *user) variable(name string) string {
	switch name {
	case "iteration":
		return u.vars["iteration"]
	case "random":
		return fmt.Sprintf("%016x", u.random.Uint64())
	}
	return u.vars[name]
}

// iterate goes once through a journey that was due at a moment.
func (u *user) iterate(ctx context.Context, due time.Duration) {
	n := u.r.begun.Add(1)
	u.vars["iteration"] = strconv.FormatInt(n, 10)
	steps := u.r.journeys[0]
	if len(u.r.weights) > 1 {
		at := u.random.Float64() * u.r.weights[len(u.r.weights)-1]
		for i, w := range u.r.weights {
			if at < w {
				steps = u.r.journeys[i]
				break
			}
		}
	}
	begin := due
	for i := range steps {
		s := &steps[i]
		if i > 0 {
			due = time.Since(u.r.epoch)
		}
		if !u.request(ctx, s, due) {
			break // the rest of the journey has no sense
		}
		if s.Think.Max > 0 {
			d := s.Think.Min + time.Duration(u.random.Int64N(int64(s.Think.Max-s.Think.Min)+1))
			if !pause(ctx, d) {
				break
			}
		}
	}
	u.shard.iteration(time.Since(u.r.epoch) - begin)
}

// request makes one request and records it; false when it failed.
func (u *user) request(ctx context.Context, s *prepared, due time.Duration) bool {
	x := sample{step: s.index, due: due, sent: time.Since(u.r.epoch)}
	sent := u.r.epoch.Add(x.sent)
	a, err := u.exchange(ctx, s, sent.Add(u.r.p.Timeout))
	x.took = time.Since(u.r.epoch) - due
	if err != nil && ctx.Err() != nil {
		return false // cut short by the end of the run: nobody's failure
	}
	x.bytes, x.class = a.bytes, class(err)
	if err == nil {
		x.status, x.waiting = a.status, a.first.Sub(sent)
		var failed int
		x.ok, failed = s.passes(&a)
		x.checks, x.unchecks = len(s.Checks), failed
		if len(s.Take) > 0 && !s.take(&a, u.vars) {
			x.ok = false
		}
	}
	u.shard.add(&x)
	return x.ok
}

func (u *user) exchange(ctx context.Context, s *prepared, deadline time.Time) (answer, error) {
	var c *conn
	if !s.fresh {
		c = u.conns[s.addr]
		delete(u.conns, s.addr)
	}
	if c == nil {
		limited, cancel := context.WithDeadline(ctx, deadline)
		var err error
		if s.secure {
			c, err = connect(limited, u.r.p.Dial, s.addr, u.r.p.tls(s.host))
		} else {
			c, err = connect(limited, u.r.p.Dial, s.addr, nil)
		}
		cancel()
		if err != nil {
			return answer{}, err
		}
	}
	request := s.static
	if request == nil {
		request = s.render(u.variable, s.fresh)
	}
	a, err := c.do(request, deadline, s.Method == "HEAD", s.keep)
	if err != nil || !a.reuse || s.fresh {
		c.Close()
	} else {
		u.conns[s.addr] = c
	}
	return a, err
}
