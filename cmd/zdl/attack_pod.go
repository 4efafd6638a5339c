package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/lab"
	"zdl/internal/probe"
)

type podFlags struct {
	random, all bool
	grace       time.Duration
	wait        time.Duration
}

func (a *app) attackPodCmd() *cobra.Command {
	var f podFlags
	cmd := &cobra.Command{
		Use:   "pod [NAME...]",
		Short: "Really delete pods and watch what replaces them",
		Long: `Deletes pods at once, as kubectl delete --grace-period=0 --force does, waits until
Kubernetes has replaced them, and says what the users of the service saw
meanwhile. Each is the fault pod-kill. A NAME is that of a pod of the service, or
NAMESPACE/NAME of any.`,
		Example: `  zdl attack pod --random
  zdl attack pod --all       can the service be brought down at once?
  zdl attack pod kube-system/coredns-6f7c9b5d8-x2x4z
  zdl attack pod --random --grace 30s   let it stop by itself`,
		Args: args(cobra.ArbitraryArgs, "zdl attack pod --random"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&f.random, "random", false, "one pod of the service, by chance")
	cmd.Flags().BoolVar(&f.all, "all", false, "all pods of the service at the same time")
	cmd.Flags().DurationVar(&f.grace, "grace", 0, "how long the pod gets to stop by itself, at most 1h")
	cmd.Flags().DurationVar(&f.wait, "wait", time.Minute, "how long to wait for replacements; 0: not at all")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if chosen := btoi(f.random) + btoi(f.all) + btoi(len(names) > 0); chosen != 1 {
			return &usageError{"say which pod: a name, --random or --all", "zdl attack pod --random"}
		}
		client, err := a.connect(cmd)
		if err != nil {
			return err
		}
		targets, err := chooseTargets(cmd.Context(), client, names, f)
		if err != nil {
			return err
		}
		result, err := attack(cmd.Context(), client, targets, f)
		if *output == "json" {
			return errors.Join(a.printJSON(result), err)
		}
		a.printAttack(result)
		return err
	}
	return cmd
}

// attackResult is what `zdl attack pod -o json` prints.
type attackResult struct {
	Pods []attackedPod `json:"pods"`
	// Outages that users saw from the attack until everything was replaced.
	Outages []probe.Outage `json:"outages"`
	// Waited tells whether the end was waited for and seen: replacements ready
	// and the service up.
	Waited bool `json:"waited"`

	begin time.Time
}

type attackedPod struct {
	Target      string  `json:"target"` // namespace/name
	Node        string  `json:"node"`
	Attack      string  `json:"attack"`                // ID of the fault
	DeletedMS   float64 `json:"deletedMs"`             // until it was proven to be gone
	Replacement string  `json:"replacement,omitempty"` // name of the new pod
	ReadyMS     float64 `json:"readyMs,omitempty"`     // from the attack until it was ready

	target bool // a pod of the service, whose replacement is followed
}

// chooseTargets says which pods to attack, as namespace/name.
func chooseTargets(ctx context.Context, client *lab.Client, names []string, f podFlags) ([]string, error) {
	var s cluster.Snapshot
	if err := client.Do(ctx, http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
		return nil, err
	}
	if len(names) > 0 {
		for i, n := range names {
			if !strings.Contains(n, "/") {
				names[i] = s.Target.Namespace + "/" + n
			}
		}
		return names, nil
	}
	var alive []string
	for _, p := range s.TargetPods() {
		if p.Alive() {
			alive = append(alive, p.Namespace+"/"+p.Name)
		}
	}
	if len(alive) == 0 {
		return nil, errors.New("the service has no pod left to attack; zdl watch shows when it is back")
	}
	if f.random {
		return []string{alive[rand.IntN(len(alive))]}, nil
	}
	sort.Strings(alive)
	return alive, nil
}

// attack deletes the pods at the same time and follows what happens.
func attack(ctx context.Context, client *lab.Client, targets []string, f podFlags) (*attackResult, error) {
	last, err := lastOutage(ctx, client)
	if err != nil {
		return nil, err
	}
	var s cluster.Snapshot
	if err := client.Do(ctx, http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
		return nil, err
	}
	before := targetPods(&s)
	result := &attackResult{Pods: []attackedPod{}, Outages: []probe.Outage{}, begin: time.Now()}
	pods, errs := make([]attackedPod, len(targets)), make([]error, len(targets))
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() {
			var done fault.Attack
			errs[i] = client.Do(ctx, http.MethodPost, "/api/v1/attacks", fault.Request{Kind: "pod-kill", Target: target, By: "zdl attack pod",
				Params: map[string]string{"grace": f.grace.String()}}, &done)
			for _, t := range done.Targets {
				pods[i] = attackedPod{Target: t.Name, Node: t.Node, Attack: done.ID, DeletedMS: done.VerifyMS, target: before[t.UID].UID != ""}
			}
		})
	}
	wg.Wait()
	for i := range pods {
		if errs[i] == nil {
			result.Pods = append(result.Pods, pods[i])
		}
	}
	err = errors.Join(errs...)
	if len(result.Pods) == 0 || f.wait == 0 {
		return result, err
	}
	return result, errors.Join(err, result.follow(ctx, client, before, last, f.wait))
}

// targetPods lists the pods of the service by UID.
func targetPods(s *cluster.Snapshot) map[string]cluster.Pod {
	out := map[string]cluster.Pod{}
	for _, p := range s.TargetPods() {
		out[p.UID] = p
	}
	return out
}

// lastAnswers is how long requests that were under way may still take until
// they count as failed: the prober's timeout and a little more.
const lastAnswers = 1200 * time.Millisecond

// follow waits until every pod of the service is replaced and the service is
// up, or for as long as it may.
func (r *attackResult) follow(ctx context.Context, client *lab.Client, before map[string]cluster.Pod, last int, patience time.Duration) error {
	timeout, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	var over time.Time // since when everything is as it was
	for {
		done, err := r.look(ctx, client, before, last)
		switch {
		case err != nil:
			return err
		case !done:
			over = time.Time{}
		case over.IsZero():
			over = time.Now()
		case time.Since(over) > lastAnswers:
			r.Waited = true
			return nil
		}
		select {
		case <-poll.C:
		case <-timeout.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("not everything was back after %s; go on looking with: zdl watch", seconds(patience))
		}
	}
}

// look reads what has happened so far and tells whether it is over. Pods that
// were not there before are the replacements, in the order of their making.
func (r *attackResult) look(ctx context.Context, client *lab.Client, before map[string]cluster.Pod, last int) (done bool, err error) {
	var s cluster.Snapshot
	if err := client.Do(ctx, http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
		return false, err
	}
	var fresh []cluster.Pod
	for _, p := range s.TargetPods() {
		if _, old := before[p.UID]; !old && p.Alive() {
			fresh = append(fresh, p)
		}
	}
	slices.SortFunc(fresh, func(a, b cluster.Pod) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	done = true
	for i := range r.Pods {
		p := &r.Pods[i]
		if !p.target {
			continue
		}
		if len(fresh) > 0 {
			if now := fresh[0]; p.Replacement != now.Name {
				p.Replacement, p.ReadyMS = now.Name, 0
			}
			if fresh[0].Ready && p.ReadyMS == 0 {
				p.ReadyMS = float64(time.Since(r.begin).Milliseconds())
			}
			fresh = fresh[1:]
		}
		done = done && p.ReadyMS > 0
	}
	r.Outages = []probe.Outage{}
	if err := client.Do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/outages?after=%d", last), nil, &r.Outages); err != nil {
		return false, err
	}
	for _, o := range r.Outages {
		done = done && !o.Open
	}
	return done, nil
}

// lastOutage is the ID of the latest outage that is over, 0 if there is none.
func lastOutage(ctx context.Context, client *lab.Client) (int, error) {
	var all []probe.Outage
	if err := client.Do(ctx, http.MethodGet, "/api/v1/outages", nil, &all); err != nil {
		return 0, err
	}
	last := 0
	for _, o := range all {
		if !o.Open {
			last = max(last, o.ID)
		}
	}
	return last, nil
}

func (a *app) printAttack(r *attackResult) {
	if r == nil {
		return
	}
	for _, p := range r.Pods {
		fmt.Fprintf(a.stdout, "%s on %s was deleted (confirmed after %s)\n", p.Target, p.Node, milliseconds(p.DeletedMS))
		switch {
		case p.ReadyMS > 0:
			fmt.Fprintf(a.stdout, "    replaced by %s, ready after %s\n", p.Replacement, milliseconds(p.ReadyMS))
		case p.Replacement != "":
			fmt.Fprintf(a.stdout, "    to be replaced by %s, not ready yet\n", p.Replacement)
		}
	}
	short, failed := 0, 0
	for _, o := range r.Outages {
		if notable(&o) || len(r.Outages) == 1 {
			fmt.Fprintf(a.stdout, "%s\n", paint(a.stdout, red, outageLine(&o)))
			continue
		}
		short, failed = short+1, failed+o.Failed
	}
	if short > 0 {
		fmt.Fprintf(a.stdout, "%s\n", paint(a.stdout, yellow, fmt.Sprintf("Further %s failed between others that succeeded.", plural(failed, "request"))))
	}
	if r.Waited && len(r.Outages) == 0 {
		fmt.Fprintf(a.stdout, "%s\n", paint(a.stdout, green, "The users saw nothing: not one request failed."))
	}
}

// notable tells whether an outage deserves a line: a half-broken service, where
// every other request fails, has dozens of tiny ones a second.
func notable(o *probe.Outage) bool { return o.LowerMS >= 100 || o.Failed >= 10 || o.Open }

// outageLine says how long users were not served, with its bounds.
func outageLine(o *probe.Outage) string {
	length := fmt.Sprintf("between %s and %s", milliseconds(o.LowerMS), milliseconds(o.UpperMS))
	if o.Open {
		length = fmt.Sprintf("at least %s so far", milliseconds(o.LowerMS))
	}
	return fmt.Sprintf("The service was down for %s: %s (%s).", length, plural(o.Failed, "failed request"), counts(o.ByClass))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
