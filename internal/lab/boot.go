package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// bootLog is the story of a boot as it happens: anyone may join late and gets
// all of it, then what follows, then the end.
type bootLog struct {
	mu      sync.Mutex
	begin   time.Time
	steps   []Progress
	info    *Info
	failure string
	changed chan struct{} // closed and replaced at every change
}

func newBootLog() *bootLog {
	return &bootLog{begin: time.Now(), changed: make(chan struct{})}
}

func (b *bootLog) step(phase, detail string, done bool) Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := Progress{Phase: phase, Detail: detail, Elapsed: time.Since(b.begin), Done: done}
	b.steps = append(b.steps, p)
	b.wake()
	return p
}

func (b *bootLog) finish(info *Info, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info = info
	if err != nil {
		b.failure = err.Error()
	}
	b.wake()
}

func (b *bootLog) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// after returns the steps from index n on, the end if there is one, and a
// channel that is closed when there is more.
func (b *bootLog) after(n int) (steps []Progress, info *Info, failure string, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Progress(nil), b.steps[n:]...), b.info, b.failure, b.changed
}

// ServeHTTP streams the boot: events "step", then one "done" or "failed".
func (b *bootLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	send := func(event string, value any) {
		data, _ := json.Marshal(value)
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
	}
	for n := 0; ; {
		steps, info, failure, more := b.after(n)
		n += len(steps)
		for _, s := range steps {
			send("step", s)
		}
		switch {
		case failure != "":
			send("failed", failure)
			return
		case info != nil:
			send("done", info)
			return
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-more:
		}
	}
}
