package edge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"zdl/internal/cluster/local/machine"
	"zdl/internal/topology"
)

// start starts a router or load balancer as the lab does: plugged in, with an
// init that keeps its services running.
func (r *rig) start(m *topology.Machine, dir, init string) *machine.Machine {
	r.t.Helper()
	netns, err := r.f.Plug(r.t.Context(), m)
	if err != nil {
		r.t.Fatal(err)
	}
	spec := machine.Spec{Lab: "edge-test", Name: m.Name, InitBinary: init, NetNS: netns,
		StateDir: filepath.Join(dir, "state", m.Name), RunDir: filepath.Join(dir, "run", m.Name)}
	configure := Router
	if m.Kind == topology.KindEdge {
		configure = LoadBalancer
	}
	if spec.Files, spec.Services, err = configure(r.topo, r.lab, m); err != nil {
		r.t.Fatal(err)
	}
	running, err := machine.Start(r.t.Context(), spec)
	if err != nil {
		r.t.Fatal(err)
	}
	return running
}

func TestTheEdgeRunsOnMachines(t *testing.T) {
	r := newFabric(t, "ha")
	dir := t.TempDir()
	init := filepath.Join(dir, "zdl-init")
	build := exec.Command("go", "build", "-o", init, "zdl/cmd/zdl-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build zdl-init: %v\n%s", err, out)
	}
	machines := map[string]*machine.Machine{}
	t.Cleanup(func() {
		for name, m := range machines {
			if t.Failed() {
				for _, service := range []string{"haproxy", "keepalived"} {
					log, err := os.ReadFile(m.Path("/var/log/" + service + ".log"))
					t.Logf("%s on %s said: %v\n%s", service, name, err, log)
				}
			}
			if err := machine.Destroy(context.Background(), filepath.Join(dir, "run", name)); err != nil {
				t.Error(err)
			}
		}
	})
	begin := time.Now()
	for _, m := range r.topo.Of(topology.KindRouter, topology.KindEdge) {
		machines[m.Name] = r.start(m, dir, init)
	}
	t.Logf("%d machines started in %v", len(machines), time.Since(begin))
	r.until("the users' virtual IP answers", func() error { _, err := r.get(200 * time.Millisecond); return err })
	r.until("the API's virtual IP answers", func() error { return r.api("outside", 200*time.Millisecond) })
	t.Logf("both virtual IPs answer after %v", time.Since(begin))

	for _, kind := range []topology.Kind{topology.KindEdge, topology.KindRouter} {
		for _, m := range r.topo.Of(kind) {
			r.until("keepalived of "+m.Name, func() error { return r.keepalivedHears(m) })
		}
		addr := topology.UserVIP.String()
		if kind == topology.KindRouter {
			addr = r.topo.Segments[0].Gateway.String()
		}
		victim := r.topo.Machine(r.holder(kind, addr))
		took := r.outage(func() {
			err := r.f.SetLink(t.Context(), victim, false)
			if err == nil {
				err = machines[victim.Name].PowerOff(t.Context())
			}
			if err == nil {
				err = r.f.Unplug(t.Context(), victim)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s lost power, users were without service for %v", victim.Name, took)
		machines[victim.Name] = r.start(victim, dir, init)
		r.until(victim.Name+" is back", func() error { return r.keepalivedHears(victim) })
		if now := r.holder(kind, addr); now == victim.Name {
			t.Errorf("%s took %s back", victim.Name, addr)
		}
	}

	// A dead HAProxy comes back before the virtual IPs move.
	lb := r.holder(topology.KindEdge, topology.UserVIP.String())
	took := r.outage(func() {
		cmd, err := machines[lb].Command(t.Context(), "sh", "-c", "kill -9 $(pidof haproxy)")
		if err == nil {
			var out []byte
			if out, err = cmd.CombinedOutput(); err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("HAProxy on %s was killed, users were without service for %v", lb, took)
	if now := r.holder(topology.KindEdge, topology.UserVIP.String()); now != lb {
		t.Errorf("the virtual IPs moved to %s", now)
	}
	if _, err := os.Stat(machines[lb].Path(AdminSocket)); err != nil {
		t.Error(err)
	}
}
