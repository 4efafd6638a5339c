package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"zdl/internal/addon"
	"zdl/internal/cluster/local/host"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/topology"
)

// Report tells of the boot's progress: a phase begins (done false) or is
// complete (done true).
type Report func(phase, detail string, done bool)

// standby are the static pods that only the first control plane starts on the
// very first boot; the others follow as soon as the lab serves. On two cores
// three of each at once take twice as long until the first of them works. Their
// etcd members start at once, since one of three is no quorum.
var standby = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}

// Up boots whatever is not running and was not switched off on purpose, and
// returns when the users' virtual IP answers 200, all nodes that are on are
// Ready and nothing is held back any more. It may be interrupted at any moment
// and called again. onAPI is called once, as soon as the API answers.
func (c *Cluster) Up(ctx context.Context, report Report, onAPI func(*rest.Config) error) error {
	if err := (host.Host{RunRoot: c.RunRoot}).Acquire(c.Name); err != nil {
		return err
	}
	first := !c.seeded()
	if err := c.wire(ctx, first, report); err != nil {
		return err
	}
	report("machines", "power on the edge and the control planes", false)
	powered := !c.Powered(c.Topology.Nodes()[0].Name) // else this is an adoption
	if err := c.startAll(ctx, topology.KindRouter, topology.KindEdge, topology.KindOutside, topology.KindControlPlane); err != nil {
		return err
	}
	report("machines", "", true)

	report("api", "etcd elects a leader, the API servers come up", false)
	config, err := c.RESTConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := c.waitAPI(ctx, client); err != nil {
		return err
	}
	report("api", "", true)
	if err := onAPI(config); err != nil {
		return err
	}

	params, err := c.addonParams()
	if err != nil {
		return err
	}
	report("workers", "power on the workers", false)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := c.startAll(groupCtx, topology.KindWorker); err != nil {
			return err
		}
		report("workers", "", true)
		return nil
	})
	if powered {
		group.Go(func() error { return c.wakeKubelets(groupCtx) })
	}
	if first {
		group.Go(func() error {
			report("addons", "kube-proxy, CoreDNS, Skipper and the service web", false)
			objects, err := addon.Essential(params)
			if err != nil {
				return err
			}
			if err := addon.Apply(groupCtx, config, objects); err != nil {
				return err
			}
			report("addons", "", true)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}

	group, groupCtx = errgroup.WithContext(ctx)
	group.Go(func() error {
		report("nodes", "until all nodes are Ready", false)
		without, err := c.waitNodes(groupCtx, client)
		if err == nil {
			report("nodes", without, true)
		}
		return err
	})
	group.Go(func() error {
		report("service", "until the users' virtual IP answers 200", false)
		return c.waitServing(groupCtx, first, report)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	report("serving", "", true)

	report("redundancy", "standby controllers, network policies, metrics and storage", false)
	for _, m := range c.Topology.Of(topology.KindControlPlane) {
		if err := c.layout.Release(m.Name); err != nil {
			return err
		}
	}
	if first {
		objects, err := addon.Secondary(params)
		if err != nil {
			return err
		}
		if err := addon.Apply(ctx, config, objects); err != nil {
			return err
		}
		if err := os.WriteFile(c.seedMarker(), nil, 0o644); err != nil {
			return err
		}
	}
	if first {
		if err := c.waitRedundant(ctx, client); err != nil {
			return err
		}
	}
	report("redundancy", "", true)
	return nil
}

const (
	// patience is how long a cluster that has run before gets to serve again. Its
	// owner may have broken or removed the service; that is no reason not to boot.
	patience = 60 * time.Second
	// struckPatience is that of one in which faults are active: perhaps they are
	// what keeps it from serving, and this boot is to heal them.
	struckPatience = 5 * time.Second
)

func (c *Cluster) waitServing(ctx context.Context, first bool, report Report) error {
	waitCtx := ctx
	if !first {
		long := patience
		if len(c.struck("")) > 0 {
			long = struckPatience
		}
		var cancel context.CancelFunc
		waitCtx, cancel = context.WithTimeout(ctx, long)
		defer cancel()
	}
	err := c.waitUsers(waitCtx)
	if err != nil && !first && ctx.Err() == nil {
		c.Log.Warn("the service does not answer yet", "error", err)
		why := "look at zdl status"
		if faults := c.struck(""); len(faults) > 0 {
			why = "active are " + strings.Join(faults, ", ")
		}
		report("service", "it does not answer yet: "+why, true)
		return nil
	}
	if err == nil {
		report("service", "", true)
	}
	return err
}

func (c *Cluster) seedMarker() string { return filepath.Join(c.StateDir, "addons-applied") }

func (c *Cluster) seeded() bool {
	_, err := os.Stat(c.seedMarker())
	return err == nil
}

func (c *Cluster) addonParams() (addon.Params, error) {
	params := addon.Params{Lab: c.Lab, Topology: c.Topology, Images: c.Set.Images}
	for _, from := range []struct {
		into *string
		read func() ([]byte, error)
	}{
		{&params.ClusterConfiguration, c.plan.ClusterConfiguration},
		{&params.KubeletConfiguration, c.plan.KubeletConfiguration},
		{&params.CertificateAuthority, c.layout.CertificateAuthority},
	} {
		data, err := from.read()
		if err != nil {
			return params, err
		}
		*from.into = string(data)
	}
	cert, key, err := c.usersCertificate()
	if err != nil {
		return params, err
	}
	params.TLSCertificate, params.TLSKey = string(cert), string(key)
	return params, nil
}

// wire builds the switches, lays out the nodes' files and makes the users'
// authority, side by side.
func (c *Cluster) wire(ctx context.Context, first bool, report Report) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		report("fabric", "switches, routers and links", false)
		if err := c.fabric.Up(ctx); err != nil {
			return fmt.Errorf("wire the fabric: %w", err)
		}
		report("fabric", "", true)
		return nil
	})
	group.Go(func() error {
		if c.layout.Complete() {
			return nil
		}
		report("kubeadm", "certificates, kubeconfigs and manifests", false)
		if err := c.layout.Make(ctx, c.plan); err != nil {
			return err
		}
		if first {
			for _, m := range c.Topology.Of(topology.KindControlPlane)[1:] {
				if err := c.layout.Hold(m.Name, standby...); err != nil {
					return err
				}
			}
		}
		report("kubeadm", "", true)
		return nil
	})
	group.Go(func() error {
		_, err := c.UsersAuthority()
		return err
	})
	return group.Wait()
}

func (c *Cluster) startAll(ctx context.Context, kinds ...topology.Kind) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range c.Topology.Of(kinds...) {
		group.Go(func() error {
			c.power[m.Name].Lock()
			defer c.power[m.Name].Unlock()
			if _, err := os.Stat(c.offMarker(m.Name)); err == nil {
				return nil
			} else if !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return c.start(ctx, m)
		})
	}
	return group.Wait()
}

// wakeKubelets restarts the kubelets that were started before there was an API.
// They try to register after 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 and 13.3 s
// (registerWithAPIServer in pkg/kubelet/kubelet_node_status.go), so that they
// would sleep for seconds now. Their pods run on.
func (c *Cluster) wakeKubelets(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range c.Topology.Of(topology.KindControlPlane) {
		group.Go(func() error {
			running, err := machine.Find(MachineRun(c.RunDir, m.Name))
			if errors.Is(err, machine.ErrOff) {
				return nil
			}
			if err != nil {
				return err
			}
			return running.RestartService(ctx, "kubelet")
		})
	}
	return group.Wait()
}
