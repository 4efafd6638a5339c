package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/arena"
	"zdl/internal/cluster"
	"zdl/internal/lab"
	"zdl/internal/probe"
	"zdl/internal/web"
)

type podFlags struct {
	random, all bool
	grace       int
	wait        time.Duration
}

func (a *app) attackPodCmd() *cobra.Command {
	var f podFlags
	cmd := &cobra.Command{
		Use:   "pod [NAME...]",
		Short: "Really delete pods and watch what replaces them",
		Long: `Deletes pods at once, as kubectl delete --grace-period=0 --force does, waits until
Kubernetes has replaced them, and says what the users of the service saw
meanwhile. A NAME is that of a pod of the service, or NAMESPACE/NAME of any.`,
		Example: `  zdl attack pod --random
  zdl attack pod --all       can the service be brought down at once?
  zdl attack pod kube-system/coredns-6f7c9b5d8-x2x4z
  zdl attack pod --random --grace -1   let it stop in its own time`,
		Args: args(cobra.ArbitraryArgs, "zdl attack pod --random"),
	}
	output := outputFlag(cmd)
	cmd.Flags().BoolVar(&f.random, "random", false, "one pod of the service, by chance")
	cmd.Flags().BoolVar(&f.all, "all", false, "all pods of the service at the same time")
	cmd.Flags().IntVar(&f.grace, "grace", 0, "seconds the pod gets to stop, 0 to 3600; -1: its own")
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
}

type attackedPod struct {
	Target      string  `json:"target"` // namespace/name
	Node        string  `json:"node"`
	DeletedMS   float64 `json:"deletedMs"`             // until the API server confirmed
	Replacement string  `json:"replacement,omitempty"` // name of the new pod
	ReadyMS     float64 `json:"readyMs,omitempty"`     // from the attack until it was ready

	uid    string
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
	before, err := lastOutage(ctx, client)
	if err != nil {
		return nil, err
	}
	var s cluster.Snapshot
	if err := client.Do(ctx, http.MethodGet, "/api/v1/snapshot", nil, &s); err != nil {
		return nil, err
	}
	result := &attackResult{Pods: []attackedPod{}, Outages: []probe.Outage{}}
	pods, errs := make([]attackedPod, len(targets)), make([]error, len(targets))
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() {
			var reply web.AttackReply
			errs[i] = client.Do(ctx, http.MethodPost, "/api/v1/attack",
				web.AttackRequest{Kind: "pod-kill", Target: target, GraceSeconds: f.grace}, &reply)
			pods[i] = attackedPod{Target: reply.Target, Node: reply.Node, DeletedMS: reply.TookMS, uid: reply.UID,
				target: s.TargetPod(reply.UID) != nil}
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
	return result, errors.Join(err, result.follow(ctx, client, before, f.wait))
}

// lastAnswers is how long requests that were under way may still take until
// they count as failed: the prober's timeout and a little more.
const lastAnswers = 1200 * time.Millisecond

// follow waits until every pod of the service is replaced and the service is
// up, or for as long as it may.
func (r *attackResult) follow(ctx context.Context, client *lab.Client, before int, patience time.Duration) error {
	timeout, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	var over time.Time // since when everything is as it was
	for {
		done, err := r.look(ctx, client, before)
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

// look reads what has happened so far and tells whether it is over.
func (r *attackResult) look(ctx context.Context, client *lab.Client, before int) (done bool, err error) {
	var game arena.State
	if err := client.Do(ctx, http.MethodGet, "/api/v1/arena", nil, &game); err != nil {
		return false, err
	}
	done = true
	for i := range r.Pods {
		p := &r.Pods[i]
		for _, k := range game.Kills {
			if k.UID == p.uid {
				p.Replacement, p.ReadyMS = k.Replacement, k.ReadyMS
			}
		}
		done = done && (!p.target || p.ReadyMS > 0)
	}
	r.Outages = []probe.Outage{}
	if err := client.Do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/outages?after=%d", before), nil, &r.Outages); err != nil {
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
