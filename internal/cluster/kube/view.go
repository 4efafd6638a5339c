// Package kube observes a Kubernetes cluster through its API server, any
// cluster that a kubeconfig reaches: nodes, pods, leader leases and the target's
// endpoints by watches, kept current through outages of the API server and
// honest about their age while one lasts.
package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"zdl/internal/cluster"
)

// Options are what New needs to know besides the API server. The zero value
// observes a target named web.
type Options struct {
	Namespace string // of the target; default "web"
	Service   string // of the target; default "web"
	Selector  string // label selector of the target's pods and Deployment; default "app.kubernetes.io/name=web"

	// Dial connects as users do; default is a plain net.Dialer on this machine.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Capabilities beyond the API that the provider beneath offers.
	Capabilities []cluster.Capability
	// Power tells the state of a node's power switch; nil: unknown. It is
	// called for each node at each snapshot and must not block.
	Power func(node string) cluster.Power
	// Machines lists the machines that are not nodes; nil: none. Must not block.
	Machines func() []cluster.Machine
	// Leaders tells who leads beside those that hold leases: etcd; nil: unknown. Must
	// not block.
	Leaders func() []cluster.Leader
	// Notice is told at once what happened that no two snapshots show: Events,
	// leases of nodes, autoscalers, disruption budgets. Nil: these are not
	// watched. It must not block.
	Notice func(cluster.Change)

	// Slowness is by how much longer than usual the API server may take to answer,
	// and how much more rarely it is asked; default 1.
	Slowness int

	Log *slog.Logger // default: discarded
}

// View is a cluster.Cluster seen through its API server.
type View struct {
	o   Options
	c   *clients
	log *slog.Logger

	pods        *table[podRow]
	nodes       *table[cluster.Node]
	leases      [2]*table[cluster.Leader]
	slices      *table[[]cluster.Endpoint]
	deployments *table[int]

	mu      sync.Mutex
	wake    chan struct{} // closed at the next change
	version int64
	cached  *cluster.Snapshot // of this version, or nil
	good    time.Time         // when the view was last known to be current
	stale   bool
	trouble string
}

var _ cluster.Cluster = (*View)(nil)

var leaderLeases = [2]string{"kube-controller-manager", "kube-scheduler"}

// New prepares a view; Run fills it. The API server need not be reachable yet.
func New(cfg *rest.Config, o Options) (*View, error) {
	def := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	def(&o.Namespace, "web")
	def(&o.Service, "web")
	def(&o.Selector, "app.kubernetes.io/name=web")
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	sel, err := labels.Parse(o.Selector)
	if err != nil {
		return nil, fmt.Errorf("label selector of the target %q: %w", o.Selector, err)
	}
	c, err := newClients(cfg)
	if err != nil {
		return nil, err
	}
	v := &View{o: o, c: c, log: o.Log, wake: make(chan struct{}), good: time.Now()}
	v.pods = &table[podRow]{resource: "pods", convert: convertPod(o.Namespace, sel), changed: v.Touch}
	v.nodes = &table[cluster.Node]{resource: "nodes", convert: convertNode, changed: v.Touch}
	for i := range v.leases {
		v.leases[i] = &table[cluster.Leader]{resource: "leases", convert: convertLease, changed: v.Touch, same: sameLeader}
	}
	v.slices = &table[[]cluster.Endpoint]{resource: "endpointslices", convert: convertSlice, changed: v.Touch}
	v.deployments = &table[int]{resource: "deployments", convert: convertDeployment, changed: v.Touch}
	return v, nil
}

// Run observes until ctx ends, and returns when every watch has ended.
func (v *View) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer v.c.http.CloseIdleConnections()
	wg.Go(func() { v.pods.run(ctx, v.c.core, v.c.params, &corev1.Pod{}, "", selector{}) })
	wg.Go(func() { v.nodes.run(ctx, v.c.core, v.c.params, &corev1.Node{}, "", selector{}) })
	for i, name := range leaderLeases {
		wg.Go(func() {
			v.leases[i].run(ctx, v.c.coordination, v.c.params, &coordinationv1.Lease{}, "kube-system", named(name))
		})
	}
	wg.Go(func() {
		v.slices.run(ctx, v.c.discovery, v.c.params, &discoveryv1.EndpointSlice{}, v.o.Namespace,
			selector{label: discoveryv1.LabelServiceName + "=" + v.o.Service})
	})
	wg.Go(func() {
		v.deployments.run(ctx, v.c.apps, v.c.params, &appsv1.Deployment{}, v.o.Namespace, selector{label: v.o.Selector})
	})
	if v.o.Notice != nil {
		wg.Go(func() { v.notice(ctx) })
	}
	v.heartbeat(ctx)
}

const (
	heartbeatEvery   = time.Second
	heartbeatTimeout = 1500 * time.Millisecond
)

// heartbeat asks the API server once a second whether it is ready, etcd
// included, and dates the view by the answers.
func (v *View) heartbeat(ctx context.Context) {
	tick := time.NewTicker(v.slowly(heartbeatEvery))
	defer tick.Stop()
	for {
		err := v.ping(ctx)
		if ctx.Err() != nil {
			return
		}
		v.judge(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (v *View) slowly(d time.Duration) time.Duration { return d * time.Duration(max(v.o.Slowness, 1)) }

func (v *View) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, v.slowly(heartbeatTimeout))
	defer cancel()
	r := v.c.core.Get().AbsPath("/readyz").Do(ctx)
	if err := r.Error(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %v", v.slowly(heartbeatTimeout))
		}
		return err
	}
	if !v.following() {
		return errors.New("reconnecting its watches")
	}
	return nil
}

// following tells whether every watch that ever worked is open. Watches that
// never worked, because this kubeconfig may not read leases for instance, only
// leave their part of the snapshot empty.
func (v *View) following() bool {
	ok := v.pods.current() && v.nodes.current()
	for _, t := range v.leases {
		ok = ok && (t.current() || !t.synced.Load())
	}
	ok = ok && (v.slices.current() || !v.slices.synced.Load())
	return ok && (v.deployments.current() || !v.deployments.synced.Load())
}

func (v *View) judge(err error) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil {
		v.good, v.trouble = now, ""
	} else {
		v.trouble = err.Error()
	}
	if stale := now.Sub(v.good) > v.slowly(cluster.StaleAfter); stale != v.stale {
		v.stale = stale
		if stale {
			v.log.Warn("view of the cluster is stale", "age", now.Sub(v.good).Round(time.Millisecond), "why", v.trouble)
		} else {
			v.log.Info("view of the cluster is current")
		}
		v.changedLocked()
	}
}

// Touch says that something the snapshot shows has changed: the provider calls
// it when a power switch or a virtual IP moved.
func (v *View) Touch() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changedLocked()
}

func (v *View) changedLocked() {
	v.version++
	v.cached = nil
	close(v.wake)
	v.wake = make(chan struct{})
}

// Changed implements cluster.Cluster.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wake
}

// Snapshot implements cluster.Cluster.
func (v *View) Snapshot() cluster.Snapshot {
	v.mu.Lock()
	s, version := v.cached, v.version
	v.mu.Unlock()
	if s == nil {
		s = v.assemble()
		s.Version = version
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cached == nil && v.version == version {
		v.cached = s
	}
	out := *s
	out.Leaders = v.leaders() // renewals change no version
	out.Stale, out.Trouble = v.stale, v.trouble
	if age := time.Since(v.good); age > v.slowly(cluster.StaleAfter) {
		out.Stale = true // the heartbeat itself is waiting for an answer
		out.AgeMS = age.Milliseconds()
	} else {
		out.AgeMS = age.Milliseconds()
	}
	return out
}

// DialUsers implements cluster.Cluster.
func (v *View) DialUsers(ctx context.Context, network, addr string) (net.Conn, error) {
	return v.o.Dial(ctx, network, addr)
}

// Capabilities implements cluster.Cluster.
func (v *View) Capabilities() []cluster.Capability {
	return append([]cluster.Capability{cluster.CapabilityAPI}, v.o.Capabilities...)
}
