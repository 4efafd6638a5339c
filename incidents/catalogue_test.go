package incidents

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"zdl/internal/artifact"
	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/fault/catalogue"
	"zdl/internal/fault/step"
	"zdl/internal/incident"
	"zdl/internal/labfile"
)

// errPlanned ends an attack when all of it but the machines was checked.
var errPlanned = errors.New("it would be planned now")

// engine is the real engine with the real catalogue for a profile's machines, whose
// pods are made up and whose plans are not made.
func engine(t *testing.T, profile string) *fault.Engine {
	t.Helper()
	lab, err := labfile.Profile(profile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := local.New(local.Config{Name: "incidents-test", Lab: lab, Set: &artifact.Set{}, StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run")})
	snapshot := cluster.Snapshot{Synced: true, Target: cluster.Target{Namespace: "web"}}
	zones := map[string][]cluster.Node{}
	for _, n := range lab.Nodes {
		zones[n.Zone] = append(zones[n.Zone], cluster.Node{Name: n.Name, Zone: n.Zone, ControlPlane: n.Role == labfile.ControlPlane, Ready: true})
	}
	for name, nodes := range zones {
		snapshot.Zones = append(snapshot.Zones, cluster.Zone{Name: name, Nodes: nodes})
	}
	for _, e := range known(syntheticInventory(t)) {
		if e.Kind() == "pod" {
			app, _, _ := strings.Cut(e.Name(), "-")
			snapshot.System = append(snapshot.System, cluster.Pod{Namespace: e.Namespace(), Name: e.Name(), UID: string(e), App: app, Node: "worker-1", Phase: "Running"})
		}
	}
	for _, n := range lab.Nodes {
		snapshot.System = append(snapshot.System, cluster.Pod{Namespace: "kube-system", Name: "kube-network-policies-" + n.Name, UID: n.Name, App: "kube-network-policies", Node: n.Name, Phase: "Running"})
	}
	w := &step.World{Local: c, Dir: filepath.Join(dir, "kept"), Snapshot: func() cluster.Snapshot { return snapshot }}
	w.Capabilities = []cluster.Capability{cluster.CapabilityAPI, cluster.CapabilityPower, cluster.CapabilityLink, cluster.CapabilityDisk, cluster.CapabilityExec}
	kinds := catalogue.Kinds(w)
	for i := range kinds {
		k := &kinds[i]
		k.Unavailable = "" // by what this machine cannot do
		find := k.Find
		if k.Targets == "ingress" { // they are asked of the API server
			k.Find = func(_ context.Context, selector string) ([]fault.Target, error) {
				return []fault.Target{{Type: "ingress", Name: selector}}, nil
			}
		}
		if k.Name == "compound" {
			continue
		}
		k.Plan = func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			if k.Name == "partition" { // its other side is a selector as well
				if _, err := find(ctx, in.Values.Text("with")); err != nil {
					return fault.Plan{}, err
				}
			}
			return fault.Plan{}, errPlanned
		}
	}
	journal, err := fault.OpenJournal(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := fault.New(fault.Config{Journal: journal, Kinds: kinds, Mechanics: w.Mechanics, Guard: fault.DefaultGuard()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// planned tells whether the engine would take an attack: its kind, target,
// parameters, mode, and what the guard says.
func planned(e *fault.Engine, r fault.Request) error {
	if len(r.Parts) > 0 {
		for _, p := range r.Parts {
			if err := planned(e, p); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := e.Attack(context.Background(), r)
	if err == nil {
		return errors.New("it was not planned")
	}
	if errors.Is(err, errPlanned) {
		return nil
	}
	return err
}

func TestEveryAttackIsOneOfTheCatalogue(t *testing.T) {
	engines := map[string]*fault.Engine{"ha": engine(t, "ha"), "shop": engine(t, "shop")}
	for _, name := range Names() {
		for _, s := range every(t, name) {
			for i, x := range s.Inject {
				if x.Attack == nil {
					continue
				}
				if err := planned(engines[s.Stage.Profile], *x.Attack); err != nil {
					t.Errorf("%s %v: inject %d: %v", name, s.Variant, i+1, err)
				}
			}
		}
	}
	// And the test can fail.
	for says, r := range map[string]fault.Request{
		"no fault":        {Kind: "disk-latency", Target: "worker-1"},
		"no parameter":    {Kind: "node-disk-latency", Target: "worker-1", Params: map[string]string{"delay": "1s"}},
		"is not allowed":  {Kind: "node-disk-latency", Target: "worker-1", Params: map[string]string{"latency": "1h"}},
		"Nothing matches": {Kind: "pod-kill", Target: "shop/app=nobody"},
		"the guard":       {Kind: "node-drain", Target: "worker-1,worker-2,worker-3,worker-4,worker-5", Mode: fault.All},
	} {
		if err := planned(engines["shop"], r); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", r, err, says)
		}
	}
}

// The stage and the injection name only objects that there are.
func TestEveryChangeIsOfAnObjectThatThereIs(t *testing.T) {
	for _, name := range Names() {
		for _, s := range every(t, name) {
			objects := syntheticInventory(t)
			changes := append([]incident.Change{}, s.Stage.Setup...)
			for _, x := range s.Inject {
				if x.Change != nil {
					changes = append(changes, *x.Change)
				}
			}
			for i := range changes {
				var err error
				if objects, err = changes[i].Do(objects, nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}
