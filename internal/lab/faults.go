package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/fault/catalogue"
	"zdl/internal/fault/step"
	"zdl/internal/web"
)

// capabilities is what can be done to a cluster that the lab built itself.
func capabilities() []cluster.Capability {
	return []cluster.Capability{cluster.CapabilityAPI, cluster.CapabilityPower, cluster.CapabilityLink, cluster.CapabilityDisk, cluster.CapabilityExec}
}

// startFaults opens the journal of faults and lets the engine take over what an
// earlier daemon left unfinished.
func (d *daemon) startFaults(ctx context.Context) error {
	dir := filepath.Join(d.dirs.state(d.name), "faults")
	journal, err := fault.OpenJournal(dir)
	if err != nil {
		return err
	}
	epoch, err := readEpoch(d.dirs.run(d.name))
	if err != nil {
		return err
	}
	world := &step.World{
		Local: d.cluster, Config: d.cluster.RESTConfig, Capabilities: capabilities(),
		Dir: filepath.Join(d.dirs.state(d.name), "kept"), Init: d.cluster.Init, Log: d.log,
		Snapshot: func() cluster.Snapshot {
			if view := d.view.Load(); view != nil {
				return view.Snapshot()
			}
			return cluster.Snapshot{}
		},
	}
	d.faults, err = fault.New(fault.Config{
		Journal: journal, Kinds: catalogue.Kinds(world), Mechanics: world.Mechanics, Guard: fault.DefaultGuard(), Epoch: epoch, Log: d.log,
		Record: func(kind, subject, text string, fields map[string]string) {
			d.story.Add(kind, subject, text, fields)
			if view := d.view.Load(); view != nil {
				view.Touch() // power and links are no objects that the API server would tell about
			}
		},
	})
	if err != nil {
		return err
	}
	early := web.FaultsHandler(d.faults, http.HandlerFunc(d.booting))
	d.early.Store(&early)
	d.work.Go(func() { d.faults.Run(ctx) })
	return nil
}

// struck names the active faults of a machine, or of "" all, for a boot that is
// not to wait for what they break. What strikes single pods is left out of a
// machine's.
func (d *daemon) struck(machine string) []string {
	if d.faults == nil {
		return nil
	}
	zone := ""
	if m := d.cluster.Topology.Machine(machine); m != nil {
		zone = m.Zone
	}
	var out []string
	for _, a := range d.faults.Attacks() {
		strikes := func(t fault.Target) bool {
			return machine == "" || t.Type != "pod" && (t.Name == machine || t.Node == machine) || t.Type == "zone" && t.Zone == zone && zone != ""
		}
		if !a.State.Over() && slices.ContainsFunc(a.Targets, strikes) {
			out = append(out, fmt.Sprintf("%s (%s)", a.Kind, a.ID))
		}
	}
	return out
}

// readEpoch identifies the life of the lab's machines. It lies in the run
// directory, so a reboot of the host and zdl down --keep-data begin another one:
// what faults had done to the kernel is gone then, and they are not resumed.
func readEpoch(runDir string) (string, error) {
	path := filepath.Join(runDir, "epoch")
	if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
		return string(data), nil
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	epoch := rand.Text()
	if err := os.WriteFile(path+".new", []byte(epoch), 0o600); err != nil {
		return "", err
	}
	return epoch, os.Rename(path+".new", path)
}
