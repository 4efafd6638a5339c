package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/edge"
	"zdl/internal/cluster/local/fabric"
	"zdl/internal/database"
	"zdl/internal/labfile"
	"zdl/internal/probe"
	"zdl/internal/topology"
)

// own is the lane that runs as long as the lab serves: new connections, HTTP/1.1,
// reads, 100 a second. More would cost CPU that nobody asked for; see probes. On a
// machine that is many times slower it is one a second, which may take ten.
func own(dial dialer, outside *fabric.Sockets, timing labfile.Timing) probe.Config {
	c := probe.Config{URL: usersURL, Dial: dial, Socket: outside.Socket}
	if timing == labfile.Patient {
		c.Rate, c.Timeout = 1, 10*time.Second
	}
	return c
}

var usersURL = fmt.Sprintf("http://%s/", topology.UserVIP)

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// probes makes measurements on request.
type probes struct {
	cluster *local.Cluster
	config  *rest.Config
	snap    func() cluster.Snapshot
	// database is the lab's PostgreSQL; nil: it can have none.
	database *database.Manager

	mu    sync.Mutex
	users int // measurements that use the ConfigMap
}

// measurement is what a subject is measured by.
type measurement interface {
	Run(ctx context.Context)
	Report() probe.Report
}

// Probe measures what is asked for until the time is over or ctx ends, and calls
// each with what is known so far, about once a second and at the end. Whoever
// gets an error from it before the first call has asked for what cannot be.
func (p *probes) Probe(ctx context.Context, r probe.Request, each func(probe.Report) error) error {
	if err := r.Defaults(); err != nil {
		return err
	}
	from, at, err := p.from(r)
	if err != nil {
		return err
	}
	defer at.Close()
	ctx, cancel := context.WithTimeout(ctx, r.For)
	defer cancel()
	var m measurement
	var release func() error // of what it used
	notes := []string{}
	switch r.Subject {
	case probe.SubjectService:
		m, err = p.service(r, at)
	case probe.SubjectDNS:
		m, err = p.dns(r, at.dial)
	case probe.SubjectPath:
		m, err = p.path(ctx, r, at)
	case probe.SubjectAPI:
		m, release, err = p.api(ctx, r, at.dial)
	case probe.SubjectDatabase:
		m, release, err = p.ofDatabase(ctx, r, at.dial)
	}
	tidy := sync.OnceFunc(func() {
		if release != nil {
			if err := release(); err != nil {
				notes = append(notes, err.Error())
			}
		}
	})
	defer tidy()
	if err != nil {
		return err
	}
	began := time.Now()
	report := func(done bool) error {
		out := m.Report()
		out.Done, out.Subject, out.From, out.Notes = done, r.Subject, from, append(out.Notes, notes...)
		out.Began, out.ElapsedMS = began, float64(time.Since(began).Milliseconds())
		return each(out)
	}
	over := make(chan struct{})
	go func() { defer close(over); m.Run(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-over:
			tidy()
			return report(true)
		case <-tick.C:
			if err := report(false); err != nil {
				cancel() // nobody listens any more
				<-over
				return err
			}
		}
	}
}

// from finds out where to ask from.
func (p *probes) from(r probe.Request) (string, *place, error) {
	name := r.From
	topo := p.cluster.Topology
	if name == "" {
		name = "outside"
		if r.Subject == probe.SubjectDNS { // Services are for nodes and pods
			if name = p.anyNode(""); name == "" {
				return "", nil, errors.New("no node has power to look names up from")
			}
		}
	}
	if pod, ok := strings.CutPrefix(name, "pod:"); ok {
		path, err := p.podNetwork(pod)
		if err != nil {
			return "", nil, err
		}
		return name, placeAt(path, func(ctx context.Context, network, addr string) (net.Conn, error) {
			return fabric.DialIn(ctx, path, network, addr)
		}), nil
	}
	if topo.Machine(name) == nil {
		machine := p.anyNode(name)
		if machine == "" {
			return "", nil, fmt.Errorf("%q is no machine, no zone with a node that has power, and no pod:NAMESPACE/NAME", name)
		}
		name = machine
	}
	if !p.cluster.Powered(name) {
		return "", nil, fmt.Errorf("the machine %s is switched off", name)
	}
	return name, placeAt(p.cluster.NetNS(name), func(ctx context.Context, network, addr string) (net.Conn, error) {
		return p.cluster.Dial(ctx, name, network, addr)
	}), nil
}

// place is where requests come from.
type place struct {
	*fabric.Sockets
	dial dialer
}

func placeAt(path string, dial dialer) *place { return &place{fabric.NewSockets(path), dial} }

// anyNode is a node with power, a worker if there is one, of a zone ("": any).
func (p *probes) anyNode(zone string) string {
	for _, kind := range []topology.Kind{topology.KindWorker, topology.KindControlPlane} {
		for _, m := range p.cluster.Topology.Of(kind) {
			if (zone == "" || m.Zone == zone) && p.cluster.Powered(m.Name) {
				return m.Name
			}
		}
	}
	return ""
}

func (p *probes) podNetwork(name string) (string, error) {
	s := p.snap()
	for _, pod := range append(s.TargetPods(), s.System...) {
		if pod.Namespace+"/"+pod.Name == name {
			return p.cluster.PodNetNS(pod.Node, pod.UID)
		}
	}
	return "", fmt.Errorf("there is no pod %q; name it as pod:NAMESPACE/NAME", name)
}

func (p *probes) service(r probe.Request, at *place) (measurement, error) {
	lanes, err := probe.ParseLanes(r.Lanes)
	if err != nil {
		return nil, err
	}
	c := probe.Config{URL: usersURL, Rate: r.Rate, Timeout: r.Timeout, Dial: at.dial, Socket: at.Socket}
	if r.HTTPS {
		authority, err := p.cluster.UsersAuthority()
		if err != nil {
			return nil, err
		}
		c.URL, c.Host = fmt.Sprintf("https://%s/", topology.UserVIP), topology.UserHost
		c.TLS = &tls.Config{ServerName: topology.UserHost, RootCAs: authority.Pool(), NextProtos: []string{"http/1.1"}}
	}
	var configs []probe.Config
	for _, l := range lanes {
		c.Reuse, c.HTTP2, c.Write = l.Reuse, l.HTTP2, l.Write
		configs = append(configs, c)
	}
	return probe.NewGroup(configs...)
}

// dns looks the service up at the cluster's DNS address.
func (p *probes) dns(r probe.Request, dial dialer) (measurement, error) {
	target := p.snap().Target
	name := fmt.Sprintf("%s.%s.svc.cluster.local.", target.Service, target.Namespace)
	server := netip.AddrPortFrom(topology.DNS, 53).String()
	return probe.NewGroup(probe.Config{Lane: "lookup", URL: "dns://" + server + "/" + name, Rate: r.Rate, Timeout: r.Timeout,
		Subject: probe.DNS{Server: server, Name: name, Dial: dial}})
}

// The ConfigMap that the subject api reads and updates.
const (
	probeNamespace = "kube-system"
	probeConfigMap = "zdl-probe"
)

// api asks the API's virtual IP. The result removes the ConfigMap when nobody
// uses it any more.
func (p *probes) api(ctx context.Context, r probe.Request, dial dialer) (m measurement, release func() error, err error) {
	lanes, err := probe.ParseLanes(r.Lanes)
	if err != nil {
		return nil, nil, err
	}
	secure, err := rest.TLSConfigFor(p.config)
	if err != nil {
		return nil, nil, err
	}
	// The API server takes several protocols; here it is HTTP/1.1.
	secure.NextProtos, secure.ServerName = []string{"http/1.1"}, topology.APIVIP.String()
	client, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		return nil, nil, err
	}
	release, err = p.useConfigMap(ctx, client)
	if err != nil {
		return nil, release, err
	}
	seen := &probe.Sequence{}
	address := netip.AddrPortFrom(topology.APIVIP, topology.APIPort).String()
	path := "/api/v1/namespaces/" + probeNamespace + "/configmaps/" + probeConfigMap
	var configs []probe.Config
	for _, l := range lanes {
		subject := probe.KubeAPI{Address: address, TLS: secure, Path: path, Reuse: l.Reuse, Write: l.Write, Seen: seen, Dial: dial}
		configs = append(configs, probe.Config{Lane: l.String(), URL: "https://" + address + path, Rate: r.Rate, Timeout: r.Timeout, Subject: subject.Subject()})
	}
	m, err = probe.NewGroup(configs...)
	return m, release, err
}

func (p *probes) useConfigMap(ctx context.Context, client kubernetes.Interface) (func() error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps := client.CoreV1().ConfigMaps(probeNamespace)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: probeConfigMap}, Data: map[string]string{"n": "0"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("make the ConfigMap to be probed: %w", err)
	}
	p.users++
	return func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.users--; p.users > 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := maps.Delete(ctx, probeConfigMap, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("the ConfigMap %s/%s stays: %w", probeNamespace, probeConfigMap, err)
		}
		return nil
	}, nil
}

// Layers of the way to the service, from what answers to what users reach.
const (
	layerPod = iota
	layerIngress
	layerBalancer
)

// askOn is for how long a part is still asked when it is in no list any more: only
// then do its requests begin to fail.
const askOn = 3 * time.Second

// path asks the service, and beside it every replica, every ingress and every
// load balancer.
func (p *probes) path(ctx context.Context, r probe.Request, at *place) (measurement, error) {
	c := probe.Config{URL: usersURL, Rate: r.Rate, Timeout: r.Timeout, Dial: at.dial, Socket: at.Socket}
	path, err := probe.NewPath(c)
	if err != nil {
		return nil, err
	}
	seen := map[string]time.Time{}
	look := func() error {
		now := time.Now()
		for _, part := range p.parts() {
			if part.ready {
				c.URL = part.url
				if err := path.Watch(ctx, part.Watched, c); err != nil {
					return err
				}
			}
			seen[part.Layer+" "+part.Name] = now
		}
		path.Leave(func(layer, name string) bool { return now.Sub(seen[layer+" "+name]) < askOn })
		return nil
	}
	if err := look(); err != nil {
		return nil, err
	}
	return &watchedPath{path, look}, nil
}

// watchedPath follows the pods that come and go.
type watchedPath struct {
	*probe.Path
	look func() error
}

func (w *watchedPath) Run(ctx context.Context) {
	looking, stop := context.WithCancel(ctx)
	var follow sync.WaitGroup
	follow.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-looking.Done():
				return
			case <-tick.C:
				_ = w.look() // the same addresses as before were right
			}
		}
	})
	defer follow.Wait()
	defer stop()
	w.Path.Run(ctx)
}

type part struct {
	probe.Watched
	url   string
	ready bool // to be watched from now on, if it is not yet
}

// servicePort is where a replica listens.
const servicePort = 8080

func (p *probes) parts() []part {
	var out []part
	s := p.snap()
	for _, pod := range s.TargetPods() {
		if pod.IP != "" {
			out = append(out, part{probe.Watched{Layer: "pod", Depth: layerPod, Name: pod.Name, Machine: pod.Node},
				fmt.Sprintf("http://%s:%d/", pod.IP, servicePort), pod.Ready})
		}
	}
	for _, pod := range s.System {
		if m := p.cluster.Topology.Machine(pod.Node); m != nil && strings.HasPrefix(pod.Name, "skipper-ingress-") {
			out = append(out, part{probe.Watched{Layer: "ingress", Depth: layerIngress, Name: pod.Name, Machine: pod.Node},
				fmt.Sprintf("http://%s:%d/", m.Addr(), topology.IngressPort), pod.Ready})
		}
	}
	for _, m := range p.cluster.Topology.Of(topology.KindEdge) {
		out = append(out, part{probe.Watched{Layer: "load balancer", Depth: layerBalancer, Name: m.Name, Machine: m.Name},
			fmt.Sprintf("http://%s:%d/healthz", m.Addr(), edge.StatsPort), true})
	}
	slices.SortFunc(out, func(a, b part) int { return a.Depth - b.Depth })
	return out
}

// Probe measures by the daemon and calls each with what is known so far, until
// it is done or ctx ends, which ends the measurement.
func (c *Client) Probe(ctx context.Context, r probe.Request, each func(probe.Report) error) error {
	resp, err := c.send(ctx, http.MethodPost, "/api/v1/probes", r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	decoder := json.NewDecoder(resp.Body)
	for {
		var report probe.Report
		if err := decoder.Decode(&report); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the measurement: %w", err)
		}
		if report.Error != "" {
			return errors.New(report.Error)
		}
		if err := each(report); err != nil || report.Done {
			return err
		}
	}
}
