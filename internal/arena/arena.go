package arena

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/probe"
	"zdl/internal/timeline"
)

// Prober is what the arena reads of a probe.Prober.
type Prober interface {
	Outages(after int) []probe.Outage
	Changed() <-chan struct{}
}

// Arena is a game on a live cluster.
type Arena struct {
	cluster cluster.Cluster
	prober  Prober
	log     *timeline.Log
	now     func() time.Time

	mu     sync.Mutex
	game   *game
	judged int // highest outage ID that was judged
	wins   []Win
	best   *Win
}

const (
	keepWins = 20
	// deleteTimeout bounds how long a kill waits for the API server.
	deleteTimeout = 5 * time.Second
)

// New prepares a game; Run plays it.
func New(c cluster.Cluster, p Prober, l *timeline.Log, r Rules) *Arena {
	return &Arena{cluster: c, prober: p, log: l, now: time.Now, game: newGame(r)}
}

// Run follows the cluster and the prober until ctx ends.
func (a *Arena) Run(ctx context.Context) {
	clusterChanged := a.cluster.Changed()
	a.sync()
	probeChanged := a.prober.Changed()
	a.judge()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clusterChanged:
			clusterChanged = a.cluster.Changed()
			a.sync()
		case <-probeChanged:
			probeChanged = a.prober.Changed()
			a.judge()
		}
	}
}

func (a *Arena) sync() {
	s := a.cluster.Snapshot()
	if !s.Synced {
		return
	}
	a.mu.Lock()
	replaced := a.game.sync(a.now(), s.TargetPods())
	a.mu.Unlock()
	for _, k := range replaced {
		a.log.Add(string(cluster.PodReady), k.Replacement,
			fmt.Sprintf("Kubernetes has replaced %s: %s is ready, %.1f s after the kill", k.Pod, k.Replacement, k.ReadyMS/1000),
			map[string]string{"replaces": k.Pod, "readyMs": fmt.Sprintf("%.0f", k.ReadyMS)})
	}
}

func (a *Arena) judge() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.prober.Outages(a.judged) {
		if o.Open {
			continue
		}
		a.judged = o.ID
		w, won := a.game.judge(o)
		if !won {
			continue
		}
		if len(a.wins) == keepWins {
			a.wins = append(a.wins[:0], a.wins[1:]...)
		}
		a.wins = append(a.wins, w)
		if a.best == nil || w.Outage.LowerMS > a.best.Outage.LowerMS {
			a.best = &w
		}
		a.game.version++
		a.log.Add(timeline.KindWin, "service", fmt.Sprintf("%s brought the service down with %s and %s: %.0f ms of sure downtime, %.1f ms a hit",
			who(w.Visitors), plural(w.Hits, "hit", "hits"), plural(len(w.Kills), "kill", "kills"), o.LowerMS, w.Score),
			map[string]string{"outage": strconv.Itoa(o.ID), "score": fmt.Sprintf("%.1f", w.Score)})
	}
}

func who(s []Share) string {
	switch len(s) {
	case 0:
		return "Somebody"
	case 1:
		return s[0].Name
	}
	return fmt.Sprintf("%s and %s", s[0].Name, plural(len(s)-1, "other", "others"))
}

// Hit lets a visitor hit a pod of the target, by name or UID. If it takes the
// pod's last health, Hit returns when the API server has deleted the pod, or
// with the reason why it has not. Refusals by the rules are of type *Error.
func (a *Arena) Hit(ctx context.Context, visitor, pod string) (HitResult, error) {
	visitor = visitorName(visitor)
	a.mu.Lock()
	r, k, err := a.game.strike(a.now(), visitor, pod)
	a.mu.Unlock()
	if err != nil {
		return r, err
	}
	if r.First {
		a.log.Add(timeline.KindHit, r.Pod, fmt.Sprintf("%s attacks %s", visitor, r.Pod), map[string]string{"visitor": visitor})
	}
	if k == nil {
		return r, nil
	}
	return r, a.carryOut(ctx, k, a.game.rules.Grace)
}

// carryOut deletes the pod for real. The visitor who leaves does not save it.
func (a *Arena) carryOut(ctx context.Context, k *Kill, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	err := a.cluster.DeletePod(ctx, a.namespace(), k.Pod, k.UID, grace)
	a.mu.Lock()
	if err != nil {
		a.game.spared(a.now(), k)
	} else {
		a.game.deleted(a.now(), k)
	}
	done := *k
	a.mu.Unlock()
	fields := map[string]string{"visitor": k.By, "node": k.Node, "hits": strconv.Itoa(k.Hits)}
	switch {
	case errors.Is(err, cluster.ErrGone):
		return ErrNoTarget
	case err != nil:
		a.log.Add(timeline.KindKillFailed, k.Pod, fmt.Sprintf("%s could not be deleted: %v", k.Pod, err), fields)
		return &Error{fmt.Sprintf("%s could not be deleted: %v", k.Pod, err),
			"Only the API server can delete a pod. Users are served without it, as long as nothing has to change."}
	}
	fields["deleteMs"] = fmt.Sprintf("%.0f", done.DeleteMS)
	text := fmt.Sprintf("%s killed %s on %s after %s", k.By, k.Pod, orUnknown(k.Node), plural(k.Hits, "hit", "hits"))
	if k.Visitors > 1 {
		text += fmt.Sprintf(" by %d visitors", k.Visitors)
	}
	if grace != 0 {
		text += ", letting it stop by itself"
	}
	a.log.Add(timeline.KindKill, k.Pod, text, fields)
	return nil
}

func (a *Arena) namespace() string { return a.cluster.Snapshot().Target.Namespace }

// State is the game as everybody may see it.
func (a *Arena) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.game.state(a.now())
	s.Wins = append([]Win{}, a.wins...)
	s.Best = a.best
	return s
}
