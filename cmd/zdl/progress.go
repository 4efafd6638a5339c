package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"zdl/internal/lab"
)

// progress shows how far a boot or a shutdown is: on a terminal the phases
// under way stay at the bottom and their time runs; elsewhere each phase is
// one line when it is over, and one that takes long says so.
type progress struct {
	screen *screen
	began  time.Time

	mu     sync.Mutex
	active []phase
	spin   int
	quit   chan struct{}
	done   sync.WaitGroup
}

type phase struct {
	name, detail string
	since        time.Duration // after the verb began
	told         time.Duration // when it was last said that it takes long
}

// takesLong is how long a phase may last before a log says that it does.
const takesLong = 10 * time.Second

func newProgress(w io.Writer) *progress {
	p := &progress{screen: newScreen(w), began: time.Now(), quit: make(chan struct{})}
	p.done.Go(p.tick)
	return p
}

// step takes one report; it is what lab.UpOptions.Progress wants.
func (p *progress) step(s lab.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.redraw()
	i := slices.IndexFunc(p.active, func(a phase) bool { return a.name == s.Phase })
	if !s.Done {
		if i < 0 {
			p.active = append(p.active, phase{name: s.Phase, detail: s.Detail, since: s.Elapsed})
		} else if s.Detail != "" {
			p.active[i].detail = s.Detail
		}
		return
	}
	detail, took := s.Detail, ""
	if i >= 0 {
		a := p.active[i]
		p.active = slices.Delete(p.active, i, i+1)
		if detail == "" {
			detail = a.detail
		}
		if d := s.Elapsed - a.since; d >= 50*time.Millisecond {
			took = " (" + seconds(d) + ")"
		}
	}
	mark := " "
	if p.screen.live {
		mark = paint(p.screen.w, green, "✓")
	}
	p.screen.say(strings.TrimRight(fmt.Sprintf("%s %8s  %-14s %s", mark, seconds(s.Elapsed), s.Phase, detail+took), " "))
}

// tick lets the time run.
func (p *progress) tick() {
	t := time.NewTicker(125 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-t.C:
		}
		p.mu.Lock()
		p.spin++
		p.redraw()
		p.patience(time.Since(p.began))
		p.mu.Unlock()
	}
}

// patience tells a log what takes long.
func (p *progress) patience(now time.Duration) {
	if p.screen.live {
		return
	}
	for i := range p.active {
		a := &p.active[i]
		if now-max(a.since, a.told) >= takesLong {
			a.told = now
			p.screen.say(fmt.Sprintf("  %8s  %-14s %s …", seconds(now), a.name, a.detail))
		}
	}
}

// redraw shows what is under way.
func (p *progress) redraw() {
	spinner := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	var lines []string
	for _, a := range p.active {
		line := fmt.Sprintf("%c %8s  %-14s %s", spinner[p.spin%len(spinner)], seconds(time.Since(p.began)), a.name, a.detail)
		lines = append(lines, fit(line, p.screen.width()-1))
	}
	p.screen.draw(lines)
}

// close ends the display; phases that were not finished vanish from it.
func (p *progress) close() {
	close(p.quit)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.screen.erase()
}
