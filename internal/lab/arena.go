package lab

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	levels "zdl/arena"
	"zdl/internal/arena"
	"zdl/internal/cause"
	"zdl/internal/cluster/kube"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/topology"
)

// Files of the arena in a lab's state.
const (
	fameFile   = "arena.json" // the hall of fame
	levelsPath = "levels"     // a directory of further levels
)

// newArena makes the game on this lab.
func (d *daemon) newArena(view *kube.View, service *probe.Prober, p *probes, explain func(ctx context.Context, subject string, id int) (cause.Breakdown, bool)) (*arena.Arena, error) {
	defend, err := d.defending(p.config)
	if err != nil {
		return nil, err
	}
	return arena.New(arena.Config{
		Defend:  defend,
		Cluster: view, Faults: d.faults, Service: service, Timeline: d.story, Cause: explain, Log: d.log,
		Levels: levels.Files(), UserLevels: filepath.Join(d.dirs.state(d.name), levelsPath),
		Fame:        filepath.Join(d.dirs.state(d.name), fameFile),
		Installable: map[string]arena.Installable{arena.SubjectDatabase: p.installable()},
		Probe: func(ctx context.Context, subject string) (arena.Prober, error) {
			return d.probeSubject(ctx, p, subject)
		},
	})
}

// installable is the lab's database, for levels about it. It stays when another level
// is chosen: zdl database down removes it.
func (p *probes) installable() arena.Installable {
	if p.database == nil {
		return arena.Installable{Missing: "this lab has no database"}
	}
	return arena.Installable{Title: "a PostgreSQL of three members", Missing: p.database.Missing(), Install: func(ctx context.Context) error {
		_, err := p.database.Up(ctx, nil)
		return err
	}}
}

// subjectRate is how often a subject beside the service is asked while a round is
// played, in requests a second: an outage of half a second is still told to a
// tenth of it, and the asking costs little.
const subjectRate = 20

// probeSubject measures a subject until ctx ends, and writes its outages to the
// timeline.
func (d *daemon) probeSubject(ctx context.Context, p *probes, subject string) (*probe.Prober, error) {
	var prober *probe.Prober
	var release func() error
	var name string
	var err error
	switch subject {
	case arena.SubjectAPI:
		name = "The Kubernetes API"
		prober, release, err = p.apiWrites(ctx)
	case arena.SubjectDNS:
		name = "Cluster DNS"
		prober, release, err = p.lookups()
	case arena.SubjectDatabase:
		name = "The database"
		prober, release, err = p.databaseWrites(ctx)
	default:
		err = fmt.Errorf("nothing measures the subject %q yet", subject)
	}
	if err != nil {
		return nil, err
	}
	d.work.Go(func() {
		prober.Run(ctx)
		if err := release(); err != nil {
			d.log.Warn("the arena's probe is not tidied up", "subject", subject, "error", err)
		}
	})
	d.work.Go(func() { timeline.Measure(ctx, d.story, subject, name, prober) })
	return prober, nil
}

// apiWrites updates a ConfigMap through the API's virtual IP, with a new
// connection each time: it needs a load balancer, an API server and a majority of
// etcd.
func (p *probes) apiWrites(ctx context.Context) (*probe.Prober, func() error, error) {
	_, at, err := p.from(probe.Request{Subject: probe.SubjectAPI})
	if err != nil {
		return nil, nil, err
	}
	secure, err := rest.TLSConfigFor(p.config)
	if err != nil {
		at.Close()
		return nil, nil, err
	}
	secure.NextProtos, secure.ServerName = []string{"http/1.1"}, topology.APIVIP.String()
	client, err := kubernetes.NewForConfig(p.config)
	if err != nil {
		at.Close()
		return nil, nil, err
	}
	remove, err := p.useConfigMap(ctx, client)
	if err != nil {
		at.Close()
		return nil, nil, err
	}
	address := netip.AddrPortFrom(topology.APIVIP, topology.APIPort).String()
	path := "/api/v1/namespaces/" + probeNamespace + "/configmaps/" + probeConfigMap
	subject := probe.KubeAPI{Address: address, TLS: secure, Path: path, Write: true, Seen: &probe.Sequence{}, Dial: at.dial}
	prober, err := probe.New(probe.Config{Lane: "new write", URL: "https://" + address + path, Rate: subjectRate, Subject: subject.Subject()})
	release := func() error { at.Close(); return remove() }
	if err != nil {
		_ = release()
		return nil, nil, err
	}
	return prober, release, nil
}

// lookups asks for the service's name at the cluster's DNS address, from a node.
func (p *probes) lookups() (*probe.Prober, func() error, error) {
	_, at, err := p.from(probe.Request{Subject: probe.SubjectDNS})
	if err != nil {
		return nil, nil, err
	}
	target := p.snap().Target
	name := fmt.Sprintf("%s.%s.svc.cluster.local.", target.Service, target.Namespace)
	server := netip.AddrPortFrom(topology.DNS, 53).String()
	prober, err := probe.New(probe.Config{Lane: "lookup", URL: "dns://" + server + "/" + name, Rate: subjectRate,
		Subject: probe.DNS{Server: server, Name: name, Dial: at.dial}})
	release := func() error { at.Close(); return nil }
	if err != nil {
		at.Close()
		return nil, nil, err
	}
	return prober, release, nil
}
