// Package local is the cluster that a lab builds for itself from namespaces on
// one Linux machine: it composes machines, fabric, edge and control plane, boots
// them in order, and gives each a power switch.
//
// Nothing here outlives a call except in the kernel and on disk. So whoever
// holds a Cluster may die at any moment, and the next one that is made with the
// same Config finds everything as it is.
package local

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"zdl/internal/artifact"
	"zdl/internal/cluster/local/controlplane"
	"zdl/internal/cluster/local/fabric"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// Config says which lab a Cluster is of.
type Config struct {
	Name     string
	Lab      *labfile.Lab
	Set      *artifact.Set
	StateDir string // survives a reboot of the host
	RunDir   string // does not
	RunRoot  string // parent of all labs' run directories
	Init     string // path of zdl-init
	Log      *slog.Logger
	// Struck names the faults that are active on a machine, "node-link-down (f3)";
	// of "" all that are. A boot does not wait for what they break. nil: none.
	Struck func(machine string) []string
}

// Cluster is the local cluster of one lab.
type Cluster struct {
	Config
	Topology *topology.Topology
	fabric   *fabric.Fabric
	layout   controlplane.Layout
	plan     *controlplane.Plan
	// power serialises the power switch of each machine.
	power      map[string]*sync.Mutex
	containers containers
	authority  sync.Mutex // held while the users' authority is made or read
}

// New describes the cluster; it touches nothing.
func New(c Config) *Cluster {
	topo := topology.New(c.Lab)
	cluster := &Cluster{
		Config:   c,
		Topology: topo,
		fabric:   fabric.New(c.Name, topo, c.RunDir),
		layout: controlplane.Layout{
			Dir:     filepath.Join(c.StateDir, "machines"),
			Kubeadm: filepath.Join(c.Set.Bin, "kubeadm-phases"),
		},
		plan: &controlplane.Plan{
			Lab: c.Lab, Topology: topo,
			KubernetesVersion: c.Set.Versions["kubernetes"],
			EtcdTag:           c.Set.Versions["etcd"],
			PauseImage:        c.Set.Images["pause"],
		},
		power: map[string]*sync.Mutex{},
	}
	for i := range topo.Machines {
		cluster.power[topo.Machines[i].Name] = &sync.Mutex{}
	}
	return cluster
}

// RESTConfig is the administrator's access to the API through its virtual IP,
// dialled from the machine "outside": what breaks for users breaks for it.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	first := c.Topology.Nodes()[0].Name
	config, err := clientcmd.BuildConfigFromFlags("", c.layout.SuperAdminConf(first))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's administrator kubeconfig: %w", err)
	}
	config.Host = fmt.Sprintf("https://%s:%d", topology.APIVIP, topology.APIPort)
	config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return c.fabric.Dial(ctx, "outside", network, addr)
	}
	config.QPS, config.Burst = 200, 400
	return config, nil
}

// Dial opens a connection from inside a machine.
func (c *Cluster) Dial(ctx context.Context, machine, network, addr string) (net.Conn, error) {
	return c.fabric.Dial(ctx, machine, network, addr)
}

// WriteKubeconfig writes the administrator's kubeconfig for a given server URL.
func (c *Cluster) WriteKubeconfig(path, server string) error {
	tmp := path + ".new"
	if err := controlplane.Retarget(c.layout.AdminConf(c.Topology.Nodes()[0].Name), tmp, server); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
