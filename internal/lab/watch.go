package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"zdl/internal/cluster"
	"zdl/internal/cluster/kube"
	"zdl/internal/cluster/local/cloud"
	"zdl/internal/cluster/local/fabric"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/web"
)

// watch starts everything that needs the API: it is called once, as soon as
// the API answers.
func (d *daemon) watch(ctx context.Context, config *rest.Config) error {
	if err := d.cluster.WriteKubeconfig(d.kubeconfigPath(), "https://"+d.record.API); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller := &cloud.Controller{Client: client, Topology: d.cluster.Topology, Log: d.log}
	d.work.Go(func() { controller.Run(ctx) })

	fromOutside := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.cluster.Dial(ctx, "outside", network, addr)
	}
	var view *kube.View
	observer := d.observer(func() { view.Touch() })
	view, err = kube.New(config, kube.Options{
		Dial:         fromOutside,
		Capabilities: capabilities(),
		Power:        observer.Power,
		Machines:     observer.Machines,
		Leaders: func() []cluster.Leader {
			if name := d.etcd.get(ctx); name != "" {
				return []cluster.Leader{{Component: cluster.Etcd, Holder: name}}
			}
			return nil
		},
		Notice: d.tell,
		Log:    d.log,
	})
	if err != nil {
		return err
	}
	outside := fabric.NewSockets(d.cluster.NetNS("outside"))
	prober, err := probe.New(own(fromOutside, outside, d.lab.Timing))
	if err != nil {
		return err
	}
	d.etcd.news = view.Touch
	d.view.Store(view)
	base, err := d.startDatabase(ctx, view.Snapshot)
	if err != nil {
		return err
	}
	log := d.story
	measuring := &probes{cluster: d.cluster, config: config, snap: view.Snapshot, database: base}
	explain := d.explainer(client, observer)
	game, err := d.newArena(view, prober, measuring, explain)
	if err != nil {
		return err
	}
	d.work.Go(func() { view.Run(ctx) })
	d.work.Go(func() { observer.Run(ctx) })
	d.startProbing = func() {
		d.work.Go(func() { defer outside.Close(); prober.Run(ctx) })
		d.work.Go(func() { timeline.Follow(ctx, log, view, prober) })
		d.work.Go(func() { game.Run(ctx) })
	}
	access, err := d.access()
	if err != nil {
		return err
	}
	handler := web.Handler(web.Deps{
		Name: d.name, Cluster: view, Probe: prober, Arena: game, Timeline: log,
		Probes:     measuring,
		Power:      power{d, view},
		Database:   base,
		Shop:       d.newShop(),
		Faults:     d.faults,
		Status:     func(owner bool) any { return d.status(ctx, owner) },
		Access:     access,
		Cause:      explain,
		Kubeconfig: func() ([]byte, error) { return os.ReadFile(d.kubeconfigPath()) },
		Done:       ctx.Done(),
		Log:        d.log,
	})
	d.ready = func() { d.handler.Store(&handler) }
	return nil
}

// power adapts the cluster's power switch to the API.
type power struct {
	d    *daemon
	view *kube.View
}

func (p power) PowerOn(ctx context.Context, node string) error {
	err := p.d.cluster.PowerOn(ctx, node)
	if err == nil {
		p.d.log.Info("power on", "machine", node)
		p.view.Touch()
	}
	return err
}

// Status is what a lab knows about itself beside the cluster's own view.
type Status struct {
	Info       Info              `json:"info,omitzero"` // for who asks on the lab's machine
	Timing     string            `json:"timing"`
	EtcdLeader string            `json:"etcdLeader"` // node name; "" while no member leads
	Versions   map[string]string `json:"versions"`
	Uptime     time.Duration     `json:"uptime"` // nanoseconds since this daemon began to serve
}

func (d *daemon) status(ctx context.Context, owner bool) Status {
	s := Status{
		Timing: string(d.lab.Timing), Versions: d.set.Versions,
		EtcdLeader: d.etcd.get(ctx), Uptime: time.Since(d.boot.begin),
	}
	if owner {
		s.EtcdLeader = d.cluster.EtcdLeader(ctx) // who asks once wants to know for sure
		if _, info, _, _ := d.boot.after(0); info != nil {
			s.Info = *info
		}
	}
	return s
}
