package step

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
)

// VIPFlap moves the virtual IPs to and fro: it lets keepalived be restarted on
// whichever load balancer holds them, and waits until another has them. The moving
// is a goroutine of the daemon and ends with it; a restart that was begun is the
// supervisor's of that machine, which completes it.
type VIPFlap struct {
	w        *World
	Machines []string      `json:"machines"` // the load balancers
	Interval time.Duration `json:"interval"` // between two moves, nanoseconds

	mu    sync.Mutex
	end   context.CancelFunc
	done  chan struct{}
	moves int
	last  string // the last move in words
	err   error  // why the last one failed
}

// NewVIPFlap plans to move the virtual IPs of the users once in each interval.
func (w *World) NewVIPFlap(machines []string, interval time.Duration) fault.Step {
	return &VIPFlap{w: w, Machines: machines, Interval: interval}
}

const keepalived = "keepalived"

// Mechanism is "vip-flap".
func (f *VIPFlap) Mechanism() string { return "vip-flap" }

// Touches keepalived on every load balancer.
func (f *VIPFlap) Touches() []string {
	var out []string
	for _, m := range f.Machines {
		out = append(out, "service/"+m+"/"+keepalived)
	}
	return out
}

// Inject begins to move them.
func (f *VIPFlap) Inject(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end != nil {
		return nil
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	f.end, f.done = end, done
	go func() {
		defer close(done)
		f.flap(ctx)
	}()
	return nil
}

func (f *VIPFlap) flap(ctx context.Context) {
	tick := time.NewTicker(f.Interval)
	defer tick.Stop()
	for {
		words, err := f.move(ctx)
		f.mu.Lock()
		f.err = err
		if err == nil {
			f.moves++
			f.last = words
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// move restarts keepalived where the addresses are, so that they go elsewhere.
func (f *VIPFlap) move(ctx context.Context) (string, error) {
	from := f.w.Local.Holder("users")
	if from == "" {
		return "", errors.New("no load balancer holds the users' virtual IP")
	}
	begin := time.Now()
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// It says goodbye on SIGTERM, and the other one takes over while it still
	// tidies up. The new one leaves the addresses where they are (nopreempt).
	restarted := make(chan error, 1)
	go func() { restarted <- f.w.restartService(limited, from, keepalived) }()
	words, err := f.awaitMove(limited, from, begin)
	return words, errors.Join(err, <-restarted)
}

func (f *VIPFlap) awaitMove(ctx context.Context, from string, begin time.Time) (string, error) {
	for {
		if to := f.w.Local.Holder("users"); to != "" && to != from {
			return fmt.Sprintf("the virtual IPs moved from %s to %s in %d ms", from, to, time.Since(begin).Milliseconds()), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("nobody took the virtual IPs over from %s", from)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Verify waits for the first move.
func (f *VIPFlap) Verify(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moves == 0 {
		return "", errors.Join(errors.New("the virtual IPs have not moved yet"), f.err)
	}
	return f.last, nil
}

// Undo ends the moving and lets keepalived run on every load balancer. One that
// is off starts it when it boots.
func (f *VIPFlap) Undo(ctx context.Context) error {
	f.mu.Lock()
	end, done := f.end, f.done
	f.end = nil
	f.mu.Unlock()
	if end != nil {
		end()
		<-done
	}
	var errs error
	for _, m := range f.Machines {
		if err := f.w.Local.StartService(ctx, m, keepalived); err != nil && !errors.Is(err, machine.ErrOff) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// State tells whether keepalived is kept running on each.
func (f *VIPFlap) State(ctx context.Context) (map[string]string, error) {
	state := map[string]string{}
	for _, m := range f.Machines {
		one, err := (&ServiceStop{w: f.w, Machine: m, Service: keepalived}).State(ctx)
		if err != nil {
			return nil, err
		}
		for name, value := range one {
			state[name] = value
		}
	}
	return state, nil
}
