package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/web/visitor"
)

// fakeCluster stands in for Kubernetes in unit tests: it deletes pods, replaces
// each after a while, and serves the target for as long as a pod is ready.
type fakeCluster struct {
	readyAfter time.Duration

	mu      sync.Mutex
	snap    cluster.Snapshot
	wake    chan struct{}
	serial  int
	deleted []string // UIDs
	refuse  error    // what DeletePod answers
	closed  bool
}

func newFakeCluster(readyAfter time.Duration) *fakeCluster {
	c := &fakeCluster{readyAfter: readyAfter, wake: make(chan struct{})}
	s := &c.snap
	s.Synced, s.Version = true, 1
	s.Pending, s.System = []cluster.Pod{}, []cluster.Pod{}
	for i, zone := range []string{"zone-a", "zone-b", "zone-c"} {
		plane, worker := fmt.Sprintf("cp-%d", i+1), fmt.Sprintf("worker-%d", i+1)
		s.Zones = append(s.Zones, cluster.Zone{Name: zone, Nodes: []cluster.Node{
			{Name: plane, Zone: zone, Roles: []string{"control-plane"}, ControlPlane: true, Ready: true, Power: cluster.PowerOn, Address: fmt.Sprintf("198.18.%d.11", i+1), Version: "v1.36.3", Pods: []cluster.Pod{}},
			{Name: worker, Zone: zone, Roles: []string{}, Ready: true, Power: cluster.PowerOn, Address: fmt.Sprintf("198.18.%d.12", i+1), Version: "v1.36.3", Pods: []cluster.Pod{c.pod(worker, true)}},
		}})
		for _, app := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
			s.System = append(s.System, cluster.Pod{Namespace: "kube-system", Name: app + "-" + plane, UID: app + plane, App: app, Node: plane, Phase: "Running", Ready: true})
		}
		for _, app := range []string{"kube-proxy", "skipper-ingress", "kube-network-policies"} {
			s.System = append(s.System, cluster.Pod{Namespace: "kube-system", Name: app + "-" + worker, UID: app + worker, App: app, Node: worker, Phase: "Running", Ready: true})
		}
	}
	s.Leaders = []cluster.Leader{{Component: "kube-scheduler", Holder: "cp-1"}, {Component: "kube-controller-manager", Holder: "cp-2"}}
	s.Machines = []cluster.Machine{{Name: "lb-1", Kind: "edge", Power: cluster.PowerOn, Holds: []string{"127.0.0.1"}}, {Name: "lb-2", Kind: "edge", Power: cluster.PowerOn}}
	s.Target = cluster.Target{Namespace: "web", Service: "web", Selector: "app=web", Desired: 3}
	c.settle()
	return c
}

func (c *fakeCluster) pod(node string, ready bool) cluster.Pod {
	c.serial++
	return cluster.Pod{Namespace: "web", Name: fmt.Sprintf("web-6f7d9c4b5-%05d", c.serial), UID: fmt.Sprintf("uid-%d", c.serial), App: "web",
		Node: node, Phase: "Running", Ready: ready, Created: time.Now()}
}

// settle works out endpoints and counts; the caller holds the lock.
func (c *fakeCluster) settle() {
	c.snap.Endpoints, c.snap.Target.Ready = []cluster.Endpoint{}, 0
	for _, p := range c.snap.TargetPods() {
		c.snap.Endpoints = append(c.snap.Endpoints, cluster.Endpoint{Pod: p.Name, Ready: p.Ready})
		if p.Ready {
			c.snap.Target.Ready++
		}
	}
	c.snap.Version++
	close(c.wake)
	c.wake = make(chan struct{})
}

func (c *fakeCluster) change(f func(*cluster.Snapshot)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.snap)
	c.settle()
}

func (c *fakeCluster) Snapshot() cluster.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.snap
	s.Zones = nil
	for _, z := range c.snap.Zones {
		nodes := append([]cluster.Node{}, z.Nodes...)
		for i := range nodes {
			nodes[i].Pods = append([]cluster.Pod{}, nodes[i].Pods...)
		}
		s.Zones = append(s.Zones, cluster.Zone{Name: z.Name, Nodes: nodes})
	}
	return s
}

func (c *fakeCluster) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wake
}

func (c *fakeCluster) DeletePod(_ context.Context, _, name, uid string, _ time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return c.refuse
	}
	for i := range c.snap.Zones {
		for j := range c.snap.Zones[i].Nodes {
			n := &c.snap.Zones[i].Nodes[j]
			for k := range n.Pods {
				if n.Pods[k].UID != uid {
					continue
				}
				n.Pods = append(append([]cluster.Pod{}, n.Pods[:k]...), n.Pods[k+1:]...)
				c.deleted = append(c.deleted, uid)
				p := c.pod(n.Name, false)
				p.Phase, p.Reason = "Pending", "ContainerCreating"
				n.Pods = append(n.Pods, p)
				c.settle()
				time.AfterFunc(c.readyAfter, func() { c.makeReady(p.UID) })
				return nil
			}
		}
	}
	return fmt.Errorf("delete pod %s: %w", name, cluster.ErrGone)
}

func (c *fakeCluster) makeReady(uid string) {
	c.change(func(s *cluster.Snapshot) {
		for i := range s.Zones {
			for j := range s.Zones[i].Nodes {
				for k := range s.Zones[i].Nodes[j].Pods {
					if p := &s.Zones[i].Nodes[j].Pods[k]; p.UID == uid {
						p.Ready, p.Phase, p.Reason = true, "Running", ""
					}
				}
			}
		}
	})
}

func (c *fakeCluster) EvictPod(context.Context, string, string, string) error {
	return cluster.ErrDisruptionBudget
}

func (c *fakeCluster) DialUsers(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func (c *fakeCluster) Capabilities() []cluster.Capability {
	return []cluster.Capability{cluster.CapabilityAPI, cluster.CapabilityPower}
}

// ServeHTTP is the target service: 200 from one of the ready pods, or 503.
func (c *fakeCluster) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s := c.Snapshot()
	var ready []string
	for _, e := range s.Endpoints {
		if e.Ready {
			ready = append(ready, e.Pod)
		}
	}
	if len(ready) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("X-Served-By", ready[time.Now().UnixNano()/1000%int64(len(ready))])
	fmt.Fprintln(w, "hello")
}

type fakePower struct {
	mu   sync.Mutex
	did  []string
	fail error
}

func (p *fakePower) switched(word, node string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.did = append(p.did, word+" "+node)
	return p.fail
}
func (p *fakePower) PowerOn(_ context.Context, node string) error { return p.switched("on", node) }

// fakeFaults is an engine that touches nothing.
type fakeFaults struct {
	mu    sync.Mutex
	asked []string
	all   []fault.Attack
	wake  chan struct{}
}

func (f *fakeFaults) Catalogue() []fault.Kind {
	return []fault.Kind{{Name: "pod-kill", Layer: fault.LayerPod}}
}
func (f *fakeFaults) Find(name string) (*fault.Kind, error) {
	if name != "pod-kill" {
		return nil, fault.Refuse("There is no fault "+name+".", "perhaps pod-kill")
	}
	return &f.Catalogue()[0], nil
}
func (f *fakeFaults) Attacks() []fault.Attack {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]fault.Attack{}, f.all...)
}
func (f *fakeFaults) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	return f.wake
}
func (f *fakeFaults) Get(id string) (fault.Attack, bool) {
	for _, a := range f.Attacks() {
		if a.ID == id {
			return a, true
		}
	}
	return fault.Attack{}, false
}
func (f *fakeFaults) change(what string, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	do()
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}
func (f *fakeFaults) Attack(_ context.Context, r fault.Request) (fault.Attack, error) {
	switch r.Kind {
	case "meteor":
		return fault.Attack{}, fault.Refuse("There is no meteor.", "perhaps pod-kill")
	case "stuck":
		return fault.Attack{}, fmt.Errorf("it is stuck")
	}
	a := fault.Attack{Kind: r.Kind, State: fault.Active, For: r.For, VerifyMS: 7, Targets: []fault.Target{{Name: r.Target}}, Touches: []string{"power/" + r.Target}}
	f.change(r.Kind+" "+r.Target, func() {
		a.ID = fmt.Sprintf("f%d", len(f.all)+1)
		f.all = append(f.all, a)
	})
	return a, nil
}
func (f *fakeFaults) Heal(_ context.Context, id string) (fault.Attack, error) {
	if _, ok := f.Get(id); !ok {
		return fault.Attack{}, fault.Refuse("There is no attack "+id+".", "zdl attacks lists them")
	}
	f.change("heal "+id, func() {
		for i := range f.all {
			if f.all[i].ID == id {
				f.all[i].State = fault.Undone
			}
		}
	})
	a, _ := f.Get(id)
	return a, nil
}
func (f *fakeFaults) HealAll(ctx context.Context) ([]fault.Attack, error) {
	for _, a := range f.Attacks() {
		f.Heal(ctx, a.ID)
	}
	return f.Attacks(), nil
}

// lab is everything behind the handler, running for real except the cluster.
type lab struct {
	cluster *fakeCluster
	power   *fakePower
	faults  *fakeFaults
	game    *fakeGame
	deps    Deps
	handler http.Handler
	streams func() int // that are open
	end     func()     // ends the event streams
}

func newLab(t *testing.T, readyAfter time.Duration) *lab {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &lab{cluster: newFakeCluster(readyAfter), power: &fakePower{}, faults: &fakeFaults{}}
	stop := make(chan struct{})
	l.end = sync.OnceFunc(func() { close(stop) })
	service := httptest.NewServer(l.cluster)
	prober, err := probe.New(probe.Config{URL: service.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	log, err := timeline.Open("")
	if err != nil {
		t.Fatal(err)
	}
	l.game = &fakeGame{cluster: l.cluster, faults: l.faults}
	var wg sync.WaitGroup
	wg.Go(func() { prober.Run(ctx) })
	wg.Go(func() { timeline.Follow(ctx, log, l.cluster, prober) })
	t.Cleanup(func() { l.end(); cancel(); wg.Wait(); service.Close() })
	l.deps = Deps{Name: "test", Cluster: l.cluster, Probe: prober, Arena: l.game, Timeline: log, Power: l.power, Faults: l.faults, Done: stop,
		Kubeconfig: func() ([]byte, error) { return []byte("kind: Config\n"), nil }}
	l.reopen(Access{})
	return l
}

// serve listens on loopback TCP for as long as the test runs.
func (l *lab) serve(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(l.handler)
	srv.Listener = Bound(srv.Listener, visitor.DefaultLimits(), nil)
	srv.Start()
	t.Cleanup(func() { l.end(); srv.CloseClientConnections(); srv.Close() })
	return srv
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 15 s until %s", what)
		}
	}
}

// visitor is a browser of its own, on loopback at the address from (any
// 127.0.0.0/8; "" for no matter which), that has been to the page.
func (l *lab) visitor(t *testing.T, srv *httptest.Server, from string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	tr := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16}
	t.Cleanup(tr.CloseIdleConnections)
	c := &http.Client{Transport: tr, Jar: jar, Timeout: 20 * time.Second}
	if code, _ := ask(t, c, "GET", srv.URL+"/api/v1/session", "", nil, nil); code != 200 {
		t.Fatalf("the first answer is %d", code)
	}
	return c
}

// reopen serves the same lab to other people.
func (l *lab) reopen(a Access) {
	l.deps.Access = a
	s := newServer(l.deps)
	l.handler, l.streams = s.handler(), s.door.gate.Streams
}

// public is how a lab is open to the world, with a token for its owner.
func public() Access { return Access{Public: true, Token: &fakeToken{value: "s3cret"}} }

type fakeToken struct {
	mu    sync.Mutex
	value string
	fail  error
}

func (f *fakeToken) Value() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value
}

func (f *fakeToken) Rotate() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return "", f.fail
	}
	f.value += "+"
	return f.value, nil
}
