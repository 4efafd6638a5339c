package lab

import (
	"context"
	"path/filepath"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"zdl/internal/arena"
	"zdl/internal/arena/defence"
	"zdl/internal/cluster/local"
	"zdl/internal/topology"
)

// Directories of the arena in a lab's state.
const (
	defencesDir   = "defences" // what is applied, and what was before
	recordingsDir = "attacks"  // of the latest round of each level
)

// defending is what the arena needs to defend this lab.
func (d *daemon) defending(config *rest.Config) (*arena.Defending, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	keeper, err := defence.New(defence.Config{
		Dir:       filepath.Join(d.dirs.state(d.name), defencesDir),
		Client:    func() (dynamic.Interface, error) { return client, nil },
		Manifests: manifests{d.cluster},
		Facts:     d.facts,
		Log:       d.log,
		Record: func(kind, subject, text string, fields map[string]string) {
			d.story.Add(kind, subject, text, fields)
		},
	})
	if keeper == nil {
		return nil, err
	}
	if err != nil {
		d.log.Error("the journal of defences is damaged", "error", err)
	}
	return &arena.Defending{
		Keeper: keeper, Recordings: filepath.Join(d.dirs.state(d.name), recordingsDir),
		Leader: func(component string) string {
			if component == "etcd" {
				return d.etcd.get(context.Background()) // asking is bounded
			}
			return ""
		},
	}, nil
}

// facts is this lab in the words of what defences need.
func (d *daemon) facts() defence.Facts {
	f := defence.Facts{Timing: string(d.lab.Timing)}
	zones := map[string]bool{}
	for _, m := range d.cluster.Topology.Nodes() {
		switch {
		case m.Kind == topology.KindControlPlane:
			f.ControlPlanes++
		case len(m.Node.Taints) == 0:
			f.Workers++
			zones[m.Zone] = true
		}
	}
	f.Zones = len(zones)
	return f
}

// manifests are the files by which this lab's kubelets run the control plane.
type manifests struct{ cluster *local.Cluster }

// Nodes implements defence.Manifests.
func (m manifests) Nodes() []string {
	var out []string
	for _, cp := range m.cluster.Topology.Of(topology.KindControlPlane) {
		out = append(out, cp.Name)
	}
	return out
}

// Path implements defence.Manifests.
func (m manifests) Path(node, component string) string {
	return filepath.Join(m.cluster.KubernetesDir(node), "manifests", component+".yaml")
}

// Ready implements defence.Manifests.
func (m manifests) Ready(node string) string {
	if !m.cluster.Powered(node) {
		return "it is switched off"
	}
	return ""
}
