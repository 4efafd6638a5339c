package catalogue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zdl/internal/artifact"
	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/fabric"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/labfile"
)

// bench is a node without Kubernetes: a machine with two services and two
// containers of one pod, made by hand as containerd would show them.
type bench struct {
	t      *testing.T
	world  *step.World
	engine *fault.Engine
	dir    string
	node   *machine.Machine
	ended  []chan struct{} // each is closed when a container is gone
}

const (
	benchNode = "worker-1"
	benchPod  = "web/web-1"
	benchUID  = "0815"
)

// TestProcesses gives each of its tests a bench of its own; the machines' first
// process is built once.
func TestProcesses(t *testing.T) {
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: boots a machine")
	}
	init := filepath.Join(t.TempDir(), "zdl-init")
	build := exec.Command("go", "build", "-o", init, "zdl/cmd/zdl-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build zdl-init: %v\n%s", err, out)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"container-kill ends that container alone", containerKillEndsThatContainerAlone},
		{"pod-freeze stops every container until it is healed", podFreezeStopsEveryContainerUntilItIsHealed},
		{"freezing one container leaves the others", freezingOneContainerLeavesTheOthers},
		{"a freeze survives the daemon and is healed by the next", freezeSurvivesTheDaemonAndIsHealedByTheNext},
		{"a stopped service stays stopped until it is healed", stoppedServiceStaysStoppedUntilItIsHealed},
		{"process faults are healed on a machine that lost its power", processFaultsAreHealedOnAMachineThatLostItsPower},
		{"a reboot gives a new boot id, and power comes back", rebootGivesANewBootIDAndPowerComesBack},
		{"process faults are quick", processFaultsAreQuick},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBench(t, init)) })
	}
}

// newBench starts the node and an engine; both go with the test.
func newBench(t *testing.T, init string) *bench {
	t.Helper()
	lab, err := labfile.Profile("small")
	if err != nil {
		t.Fatal(err)
	}
	lab.Routers = 1 // without VRRP, so it needs no program of the host
	dir := t.TempDir()
	c := local.New(local.Config{Name: "process-test", Lab: lab, Set: &artifact.Set{}, RunDir: dir, StateDir: dir, Init: init, Log: slog.New(slog.DiscardHandler)})
	b := &bench{t: t, dir: dir, world: &step.World{
		Local: c, Log: slog.New(slog.DiscardHandler), Dir: dir,
		Capabilities: []cluster.Capability{cluster.CapabilityPower, cluster.CapabilityExec},
		Snapshot: func() cluster.Snapshot {
			return cluster.Snapshot{Synced: true, Target: cluster.Target{Namespace: "web"}, Zones: []cluster.Zone{{Nodes: []cluster.Node{{Name: benchNode,
				Pods: []cluster.Pod{{Namespace: "web", Name: "web-1", UID: benchUID, Node: benchNode, Phase: "Running"}}}}}}}
		},
	}}
	f := fabric.New("process-test", c.Topology, dir)
	t.Cleanup(func() {
		if err := f.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := f.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	sleep := []string{"/usr/bin/sleep", "infinity"}
	spec := machine.Spec{
		Lab: "process-test", Name: benchNode, InitBinary: init,
		StateDir: local.MachineDir(dir, benchNode), RunDir: local.MachineRun(dir, benchNode),
		Services: []machine.Service{{Name: "kubelet", Argv: sleep}, {Name: "containerd", Argv: sleep}},
	}
	t.Cleanup(func() {
		for _, name := range []string{benchNode, "router-1"} {
			// What is put away after a power cut holds the lock until then.
			if err := machine.Destroy(context.Background(), local.MachineRun(dir, name)); err != nil {
				t.Error(err)
			}
		}
		for _, ended := range b.ended {
			<-ended
		}
	})
	if b.node, err = machine.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	b.container("web")
	b.container("sidecar")
	b.engine = b.daemon()
	return b
}

// daemon is an engine over the journal, as a new daemon makes it.
func (b *bench) daemon() *fault.Engine {
	b.t.Helper()
	journal, err := fault.OpenJournal(filepath.Join(b.dir, "faults"))
	if err != nil {
		b.t.Fatal(err)
	}
	e, err := fault.New(fault.Config{Journal: journal, Kinds: Kinds(b.world), Mechanics: b.world.Mechanics, Epoch: "this"})
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// container runs a process that writes a file again and again, in a control
// group of its own, beside the bundle that containerd's shim would leave.
func (b *bench) container(name string) {
	b.t.Helper()
	run, err := b.node.Command(context.Background(), "/bin/sh", "-c",
		fmt.Sprintf("echo $$ > /run/%[1]s.new; mv /run/%[1]s.new /run/%[1]s.pid; while :; do echo >> /run/%[1]s.ticks; sleep 0.005; done", name))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = run.Wait() }()
	b.ended = append(b.ended, ended)
	var pid []byte
	b.until("its number is known", func() bool {
		pid, err = os.ReadFile(b.node.Path("/run/" + name + ".pid"))
		return err == nil
	})
	inside, _ := strconv.Atoi(strings.TrimSpace(string(pid)))
	group := "/kubepods/pod" + benchUID + "/" + name
	own, err := b.node.Cgroup().Own()
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := machine.Outer(inside, own)
	if err != nil {
		b.t.Fatal(err)
	}
	dir := filepath.Join(b.node.Cgroup().Path("freezer"), group)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(p.PID)), 0); err != nil {
		b.t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"linux": map[string]string{"cgroupsPath": group},
		"annotations": map[string]string{
			"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": name,
			"io.kubernetes.cri.sandbox-name": "web-1", "io.kubernetes.cri.sandbox-namespace": "web", "io.kubernetes.cri.sandbox-uid": benchUID,
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	bundle := b.node.Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io/id-" + name)
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for file, data := range map[string][]byte{"config.json": config, "init.pid": pid} {
		if err := os.WriteFile(filepath.Join(bundle, file), data, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func (b *bench) attack(r fault.Request) fault.Attack {
	b.t.Helper()
	a, err := b.engine.Attack(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%s: verified after %.1f ms: %s", a.Kind, a.VerifyMS, strings.Join(a.Evidence, "; "))
	return a
}

func (b *bench) heal(id string) {
	b.t.Helper()
	a, err := b.engine.Heal(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	if a.State != fault.Undone || len(a.Residue) > 0 {
		b.t.Errorf("%s is %s and left %v", a.Kind, a.State, a.Residue)
	}
}

// ticks is how much a container has written.
func (b *bench) ticks(container string) int64 {
	st, err := os.Stat(b.node.Path("/run/" + container + ".ticks"))
	if err != nil {
		return 0
	}
	return st.Size()
}

// stands tells whether a container writes nothing for ten of its periods.
func (b *bench) stands(container string) bool {
	at := b.ticks(container)
	time.Sleep(50 * time.Millisecond)
	return b.ticks(container) == at
}

// goesOn waits until a container writes again.
func (b *bench) goesOn(container string) {
	b.t.Helper()
	at := b.ticks(container)
	b.until(container+" goes on", func() bool { return b.ticks(container) > at })
}

func (b *bench) service(name string) machine.ServiceStatus {
	b.t.Helper()
	all, err := b.world.Local.Services(b.t.Context(), benchNode)
	if err != nil {
		b.t.Fatal(err)
	}
	return all[slices.IndexFunc(all, func(s machine.ServiceStatus) bool { return s.Name == name })]
}

func containerKillEndsThatContainerAlone(t *testing.T, b *bench) {
	b.goesOn("web")
	a := b.attack(fault.Request{Kind: "container-kill", Target: "any", Params: map[string]string{"container": "web"}})
	if a.State != fault.Happened || !strings.Contains(a.Evidence[0], "container web of web/web-1") {
		t.Errorf("it is %s, and the evidence is %q", a.State, a.Evidence)
	}
	if !b.stands("web") {
		t.Error("the container goes on")
	}
	b.goesOn("sidecar")
	if _, err := b.engine.Attack(t.Context(), fault.Request{Kind: "container-kill", Target: "any", Params: map[string]string{"container": "nobody"}}); err == nil || !strings.Contains(err.Error(), "sidecar, web") {
		t.Errorf("an unknown container: %v; want the names of those there are", err)
	}
}

func podFreezeStopsEveryContainerUntilItIsHealed(t *testing.T, b *bench) {
	a := b.attack(fault.Request{Kind: "pod-freeze", Target: benchPod})
	if !b.stands("web") || !b.stands("sidecar") {
		t.Error("a container of the frozen pod goes on")
	}
	// The machine hangs as well, and is healed first, then last.
	whole := b.attack(fault.Request{Kind: "node-freeze", Target: benchNode})
	b.heal(whole.ID)
	if !b.stands("web") {
		t.Error("the pod goes on although only its node was healed")
	}
	whole = b.attack(fault.Request{Kind: "node-freeze", Target: benchNode})
	b.heal(a.ID)
	if !b.stands("web") {
		t.Error("the pod goes on although its node is frozen")
	}
	b.heal(whole.ID)
	b.goesOn("web")
	b.goesOn("sidecar")
}

func freezingOneContainerLeavesTheOthers(t *testing.T, b *bench) {
	a := b.attack(fault.Request{Kind: "pod-freeze", Target: benchPod, Params: map[string]string{"container": "web"}})
	if !b.stands("web") {
		t.Error("the frozen container goes on")
	}
	b.goesOn("sidecar")
	b.heal(a.ID)
	b.goesOn("web")
}

func freezeSurvivesTheDaemonAndIsHealedByTheNext(t *testing.T, b *bench) {
	a := b.attack(fault.Request{Kind: "pod-freeze", Target: benchPod})
	b.engine = b.daemon()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() { defer close(ran); b.engine.Run(ctx) }()
	defer func() { stop(); <-ran }()
	b.until("the new daemon has resumed it", func() bool { now, _ := b.engine.Get(a.ID); return now.Resumed == 1 && now.State == fault.Active })
	if !b.stands("web") {
		t.Error("the pod goes on although the fault lasts")
	}
	b.heal(a.ID)
	b.goesOn("web")
}

func stoppedServiceStaysStoppedUntilItIsHealed(t *testing.T, b *bench) {
	for _, signal := range []string{"KILL", "TERM"} {
		b.until("the kubelet runs", func() bool { return b.service("kubelet").State == "running" })
		a := b.attack(fault.Request{Kind: "kubelet-stop", Target: benchNode, Params: map[string]string{"signal": signal}})
		if s := b.service("kubelet"); s.State != "stopped" || s.LastExit != "killed by SIG"+signal {
			t.Errorf("the kubelet is %s, %s", s.State, s.LastExit)
		}
		if s := b.service("containerd"); s.State != "running" {
			t.Errorf("containerd is %s", s.State)
		}
		b.heal(a.ID)
		b.until("the kubelet runs again", func() bool { return b.service("kubelet").State == "running" })
	}
}

func processFaultsAreHealedOnAMachineThatLostItsPower(t *testing.T, b *bench) {
	b.until("containerd runs", func() bool { return b.service("containerd").State == "running" })
	stop := b.attack(fault.Request{Kind: "runtime-stop", Target: benchNode})
	freeze := b.attack(fault.Request{Kind: "pod-freeze", Target: benchPod})
	hang := b.attack(fault.Request{Kind: "node-freeze", Target: benchNode})
	b.attack(fault.Request{Kind: "node-power-off", Target: benchNode})
	for _, a := range []fault.Attack{stop, freeze, hang} {
		b.heal(a.ID)
	}
	if _, err := b.engine.Attack(t.Context(), fault.Request{Kind: "kubelet-stop", Target: benchNode}); err == nil || !strings.Contains(err.Error(), "is off") {
		t.Errorf("a machine that is off was struck: %v", err)
	}
}

func rebootGivesANewBootIDAndPowerComesBack(t *testing.T, b *bench) {
	const name = "router-1" // the lab can boot it from nothing
	if err := b.world.Local.PowerOn(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	before, err := b.world.Local.BootID(name)
	if err != nil {
		t.Fatal(err)
	}
	a := b.attack(fault.Request{Kind: "node-reboot", Target: name})
	if now, err := b.world.Local.BootID(name); err != nil || now == before || a.State != fault.Happened {
		t.Errorf("boot id %s before, %s after, %v; the attack is %s", before, now, err, a.State)
	}
	a = b.attack(fault.Request{Kind: "router-down", Target: name})
	if b.world.Local.Powered(name) {
		t.Error("it still runs")
	}
	if _, err := b.engine.Attack(t.Context(), fault.Request{Kind: "node-reboot", Target: name}); err == nil {
		t.Error("a machine that is off was rebooted")
	}
	b.heal(a.ID)
	if !b.world.Local.Powered(name) {
		t.Error("it is off after the fault was healed")
	}
}

// processFaultsAreQuick measures from the call to the proof, journal
// included. The bound is wide because the machine may be busy; the figures are
// in the log.
func processFaultsAreQuick(t *testing.T, b *bench) {
	const rounds, bound = 60, 500.0 // ms
	took := map[string][]float64{}
	for range rounds {
		for kind, target := range map[string]string{"pod-freeze": benchPod, "node-freeze": benchNode, "kubelet-stop": benchNode} {
			if kind == "kubelet-stop" {
				b.until("the kubelet runs", func() bool { return b.service("kubelet").State == "running" })
			}
			a, err := b.engine.Attack(t.Context(), fault.Request{Kind: kind, Target: target})
			if err != nil {
				t.Fatal(err)
			}
			took[kind] = append(took[kind], a.VerifyMS)
			if a, err = b.engine.Heal(t.Context(), a.ID); err != nil {
				t.Fatal(err)
			}
			took[kind+", undone"] = append(took[kind+", undone"], a.UndoMS)
		}
	}
	for what, ms := range took {
		slices.Sort(ms)
		t.Logf("%-22s median %.1f ms, p99 %.1f ms", what, ms[rounds/2], ms[rounds*99/100])
		if ms[rounds/2] > bound {
			t.Errorf("%s takes %.0f ms, more than %.0f", what, ms[rounds/2], bound)
		}
	}
}
