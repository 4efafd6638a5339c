package shape

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Keeper holds a helper process that shapes, and starts another when it dies or
// stops answering: a helper that is stopped, but not dead, would be a dead link.
// The helper ends with the process of its keeper.
type Keeper struct {
	argv   []string
	config Config

	mu       sync.Mutex
	helper   *helper
	restarts int
	closing  bool

	stop chan struct{}
	done chan struct{} // closed when the last helper is gone
}

const (
	helperStart = 10 * time.Second       // from fork to "ready"; usually 20 ms
	askEvery    = 500 * time.Millisecond // whether it still answers
	askPatience = 3 * time.Second        // on a busy machine
	endPatience = 5 * time.Second        // from the end of its input to its own
)

// Keep starts a helper, the command argv, and returns when the shaping is in force.
func Keep(argv []string, c Config) (*Keeper, error) {
	k := &Keeper{argv: argv, config: c, stop: make(chan struct{}), done: make(chan struct{})}
	var err error
	if k.helper, err = startHelper(argv, c); err != nil {
		return nil, err
	}
	go k.keep()
	return k, nil
}

// Ask lets the helper tell what happened so far.
func (k *Keeper) Ask() (Answer, error) {
	k.mu.Lock()
	h := k.helper
	k.mu.Unlock()
	if h == nil {
		return Answer{}, errors.New("the helper that shapes is being started again")
	}
	return h.ask(OrderStats, askPatience)
}

// Restarts counts how often a helper had to be replaced.
func (k *Keeper) Restarts() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.restarts
}

// End ends the shaping and returns when frames pass as before. The helper takes
// its devices away after that: Gone tells when. After an error it is gone already,
// and perhaps did not tell netem: Clear must.
func (k *Keeper) End() error {
	k.mu.Lock()
	h, first := k.helper, !k.closing
	k.closing = true
	k.mu.Unlock()
	if !first {
		return nil
	}
	var err error
	if h != nil {
		var a Answer
		if a, err = h.ask(OrderRelease, askPatience); err == nil && a.Error != "" {
			err = errors.New(a.Error)
		}
	}
	close(k.stop)
	if err != nil { // it does not listen: only its end will do
		<-k.done
	}
	return err
}

// Gone is closed when nothing of the helper is left.
func (k *Keeper) Gone() <-chan struct{} { return k.done }

func (k *Keeper) keep() {
	defer close(k.done)
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		k.mu.Lock()
		h := k.helper
		k.mu.Unlock()
		var exited chan struct{}
		if h != nil {
			exited = h.exited
		}
		select {
		case <-k.stop:
			if h != nil {
				h.end(endPatience)
			}
			return
		case <-exited:
		case <-tick.C:
			if h != nil {
				if _, err := h.ask(OrderStats, askPatience); err == nil {
					continue
				}
			}
		}
		k.replace(h)
	}
}

// replace ends a helper and starts the next. When that fails the next tick tries
// again.
func (k *Keeper) replace(old *helper) {
	if old != nil {
		old.end(0)
	}
	k.mu.Lock()
	closing := k.closing
	k.helper = nil
	k.mu.Unlock()
	if closing {
		return
	}
	next, err := startHelper(k.argv, k.config)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing { // End has not seen it
		next.end(endPatience)
		return
	}
	k.helper = next
	k.restarts++
}

// helper is one process.
type helper struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	said    strings.Builder // on standard error; read once it exited
	answers chan Answer
	asking  sync.Mutex
	exited  chan struct{}
}

func startHelper(argv []string, c Config) (*helper, error) {
	line, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	h := &helper{cmd: exec.Command(argv[0], argv[1:]...), answers: make(chan Answer, 1), exited: make(chan struct{})}
	h.cmd.Stderr = &h.said
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals from a terminal are for its keeper
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the helper that shapes: %w", err)
	}
	go h.listen(out)
	a, err := h.exchange(string(line), helperStart)
	if err == nil && !a.Ready {
		err = errors.New(a.Error)
	}
	if err != nil {
		h.end(0)
		return nil, fmt.Errorf("the helper that shapes: %w", errors.Join(err, h.last(a.Error)))
	}
	return h, nil
}

// last is what it wrote when it ended, unless that is known.
func (h *helper) last(known string) error {
	if text := strings.TrimSpace(h.said.String()); text != "" && text != known {
		return errors.New(text)
	}
	return nil
}

func (h *helper) listen(out io.Reader) {
	defer close(h.exited)
	for answers := json.NewDecoder(out); ; {
		var a Answer
		if answers.Decode(&a) != nil {
			break
		}
		select {
		case h.answers <- a:
		default: // nobody asked any more
		}
	}
	_ = h.cmd.Wait() // how it ended is in what it said
}

func (h *helper) ask(order string, patience time.Duration) (Answer, error) {
	h.asking.Lock()
	defer h.asking.Unlock()
	select {
	case <-h.answers: // to a question that was given up
	default:
	}
	return h.exchange(order, patience)
}

func (h *helper) exchange(order string, patience time.Duration) (Answer, error) {
	if _, err := io.WriteString(h.in, order+"\n"); err != nil {
		return Answer{}, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-h.answers:
		return a, nil
	case <-h.exited:
		select {
		case a := <-h.answers:
			return a, nil
		default:
			return Answer{}, errors.New("it has ended")
		}
	case <-timer.C:
		return Answer{}, fmt.Errorf("no answer within %v", patience)
	}
}

// end lets the process end by itself for so long, then kills it, and returns when
// it is gone.
func (h *helper) end(patience time.Duration) {
	_ = h.in.Close()
	if patience > 0 {
		select {
		case <-h.exited:
			return
		case <-time.After(patience):
		}
	}
	_ = h.cmd.Process.Kill()
	<-h.exited
}
