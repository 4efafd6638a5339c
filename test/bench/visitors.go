package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"zdl/internal/arena"
	"zdl/internal/lab"
	"zdl/internal/probe"
	"zdl/internal/web"
)

const (
	watching = 1000
	// clickEvery is the pace of the one who plays: a pod is dead every four
	// seconds, and replaced before the next.
	clickEvery = 400 * time.Millisecond
	clicks     = 120
)

// visitors measures the page with a thousand visitors: how long after a click
// everybody else sees the hit, and what a visitor costs.
func (b *bench) visitors(ctx context.Context) error {
	l, err := b.haLab(ctx)
	if err != nil {
		return err
	}
	daemon, err := l.Daemon()
	if err != nil {
		return err
	}
	client, err := lab.Connect(l.Dirs(), l.Name)
	if err != nil {
		return err
	}
	c := newCrowd(strings.TrimPrefix(l.Info.Page, "http://"))
	defer c.leave()
	if err := c.enter(ctx); err != nil { // the first makes the hub work
		return err
	}
	if err := rest(ctx, 15*time.Second); err != nil {
		return err
	}
	alone, err := pss(daemon.PID)
	if err != nil {
		return err
	}
	kernel := socketMemory()
	for len(c.screens) <= watching {
		if err := c.enter(ctx); err != nil {
			return fmt.Errorf("visitor %d: %w", len(c.screens), err)
		}
	}
	var before, after web.ProbeReply
	if err := client.Do(ctx, http.MethodGet, "/api/v1/probe", nil, &before); err != nil {
		return err
	}
	used, _ := cpuTime(daemon.PID)
	bytesBefore, begin := c.received(), time.Now()
	struckAt, err := b.play(ctx, c, client)
	if err != nil {
		return err
	}
	took := time.Since(begin).Seconds()
	usedAfter, _ := cpuTime(daemon.PID)
	if err := client.Do(ctx, http.MethodGet, "/api/v1/probe", nil, &after); err != nil {
		return err
	}
	crowded, err := pss(daemon.PID)
	if err != nil {
		return err
	}
	kernelEach := (socketMemory() - kernel) / watching / 1e3
	received := c.received() - bytesBefore
	c.leave()
	cost := fmt.Sprintf("%.0f %% of a core in the daemon, %.0f kB/s to each, prober p99 of the lateness %s", 100*(usedAfter-used)/took,
		float64(received)/took/watching/1e3, lateness(&before.Summary, &after.Summary))
	if err := b.latencies(c, struckAt, cost); err != nil {
		return err
	}
	b.report.add("memory of the daemon for a visitor who watches", "ha", "kB", 100,
		fmt.Sprintf("PSS with %d visitors less PSS with one; the kernel's buffers of both ends come to %.0f kB", watching, kernelEach), (crowded-alone)/watching/1e3)
	return nil
}

// click is a hit that counted.
type click struct {
	at     time.Duration // since the crowd began
	struck int           // ID of the strike that it brought about, or 0
}

// play clicks as one visitor of the crowd does.
func (b *bench) play(ctx context.Context, c *crowd, client *lab.Client) ([]click, error) {
	var out []click
	prey := ""
	tick := time.NewTicker(clickEvery)
	defer tick.Stop()
	for tries := 0; len(out) < clicks; tries++ {
		if tries > 3*clicks {
			return nil, fmt.Errorf("of %d clicks only %d counted", tries, len(out))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		var game arena.State
		if err := client.Do(ctx, http.MethodGet, "/api/v1/arena", nil, &game); err != nil {
			return nil, err
		}
		open := slices.DeleteFunc(game.Targets, func(t arena.Target) bool { return t.Refused != "" || t.Dying || t.Down })
		if len(open) == 0 {
			continue
		}
		if i := slices.IndexFunc(open, func(t arena.Target) bool { return t.ID == prey }); i < 0 {
			prey = open[0].ID
		}
		at := time.Since(c.began)
		result, err := hitAs(ctx, c, prey)
		if err != nil {
			continue // the game pauses, or the target has just gone
		}
		one := click{at: at}
		if result.Strike != nil {
			one.struck = result.Strike.ID
		}
		out = append(out, one)
	}
	return out, rest(ctx, 2*time.Second)
}

// player is what the one who clicks is called.
const player = "bench"

func hitAs(ctx context.Context, c *crowd, target string) (r arena.HitResult, err error) {
	body, _ := json.Marshal(web.HitRequest{Target: target, Visitor: player}) // always marshals
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+"/api/v1/hit", bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.AddCookie(c.screens[0].cookie)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, data)
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// latencies finds out when each screen but the player's showed each hit.
func (b *bench) latencies(c *crowd, made []click, cost string) error {
	states := c.read()
	c.screens = c.screens[1:]
	count := counter(c, states)
	var hits, strikes []float64
	missing := 0
	for i, m := range made {
		at := c.seen(func(s *arena.State) bool { return count(s) > i }, states)
		missing += len(c.screens) - len(at)
		for _, t := range at {
			hits = append(hits, float64((t-m.at).Microseconds())/1000)
		}
		if m.struck == 0 {
			continue
		}
		at = c.seen(func(s *arena.State) bool {
			return slices.ContainsFunc(s.Strikes, func(k arena.Strike) bool {
				return k.ID == m.struck && k.By == player && (k.State == arena.StrikeProven || k.State == arena.StrikeHealed)
			})
		}, states)
		for _, t := range at {
			strikes = append(strikes, float64((t-m.at).Microseconds())/1000)
		}
	}
	if missing > 0 || len(hits) == 0 {
		return fmt.Errorf("%d times a hit was not seen on a screen", missing)
	}
	b.report.add(fmt.Sprintf("click until the hit is seen on each of %d other screens, p99", watching), "ha", "ms", 250,
		fmt.Sprintf("p50 %.0f ms, the slowest %.0f ms, %d clicks; %s", percentile(hits, 50), slices.Max(hits), len(made), cost), percentile(hits, 99))
	if len(strikes) > 0 {
		b.report.add(fmt.Sprintf("click that kills until the proven fault is seen on each of %d other screens, p99", watching), "ha", "ms", 250,
			fmt.Sprintf("p50 %.0f ms; %d kills, each proven by the fault engine first", percentile(strikes, 50), len(strikes)/watching), percentile(strikes, 99))
	}
	return nil
}

// counter tells how many hits of the player a game has seen, over all rounds.
func counter(c *crowd, states map[uint64][]arena.State) func(*arena.State) int {
	mine := func(s *arena.State) int {
		for _, p := range s.Players {
			if p.Name == player {
				return p.Hits
			}
		}
		return 0
	}
	most := map[int]int{} // by round
	for _, list := range states {
		for i := range list {
			most[list[i].Round] = max(most[list[i].Round], mine(&list[i]))
		}
	}
	return func(s *arena.State) int {
		n := mine(s)
		for round, hits := range most {
			if round < s.Round {
				n += hits
			}
		}
		return n
	}
}

// socketMemory is what all TCP sockets of this machine hold in the kernel, in
// bytes.
func socketMemory() float64 {
	data, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var inuse, orphan, tw, alloc, mem float64
		if n, _ := fmt.Sscanf(line, "TCP: inuse %g orphan %g tw %g alloc %g mem %g", &inuse, &orphan, &tw, &alloc, &mem); n == 5 {
			return mem * float64(os.Getpagesize())
		}
	}
	return 0
}

// lateness says how punctual the prober was between two looks at it.
func lateness(before, after *probe.Summary) string {
	return fmt.Sprintf("%.1f ms (%d of %d slots missed, %d pauses)", after.LagMS, after.Missed-before.Missed, after.Sent-before.Sent, after.Pauses-before.Pauses)
}
