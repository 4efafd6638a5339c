package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local/machine/boot"
	"zdl/internal/cluster/local/observe"
	"zdl/internal/topology"
)

// Observer tells what the machines' kernels and programs tell by themselves and
// no Kubernetes object shows: who answers for a virtual IP, when proxies were
// programmed, what the load balancers' health checks found, elections of etcd.
type Observer struct {
	Cluster *Cluster
	// Namespace and Service of the target.
	Namespace, Service string
	// Tell is told each change. It must not block.
	Tell func(cluster.Change)
	// Touch is called when power or a virtual IP changed, which the cluster's
	// snapshots show too.
	Touch func()
	Log   *slog.Logger

	logs  *observe.Logs
	round *observe.Round
	kick  chan struct{}

	mu       sync.Mutex
	machines map[string]*sighting
	holders  map[string]string    // virtual IP → machine that took it last
	verdicts map[string]string    // server behind a load balancer → its latest state
	told     map[string]time.Time // what repeats itself → when it was told last
}

// tellAgain is how long something that repeats itself is not told again.
const tellAgain = 10 * time.Second

// sighting is a machine that is being observed.
type sighting struct {
	pid       int
	addresses map[netip.Addr]bool
	deaf      bool // its logs are not read yet
	process   int  // descriptor of its first process (pidfd), or -1
	stop      []func()
}

// look is how often the machines are looked through for those that were switched
// on or off. A machine that goes is noticed at once by its addresses.
const look = time.Second

// Run observes until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	o.mu.Lock()
	o.kick = make(chan struct{}, 1)
	o.machines, o.holders = map[string]*sighting{}, map[string]string{}
	o.verdicts, o.told = map[string]string{}, map[string]time.Time{}
	o.round = &observe.Round{Service: o.Namespace + "/" + o.Service, Nodes: o.nodesUp, Tell: o.Tell, Patience: time.Second}
	o.mu.Unlock()
	logs, err := observe.NewLogs()
	if err != nil {
		o.Log.Error("the machines' logs are not read", "error", err)
	} else {
		o.logs = logs
		var group sync.WaitGroup
		group.Go(logs.Run)
		defer group.Wait()
		defer logs.Close()
	}
	defer o.leave()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		o.lookAround()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-o.kick:
		}
	}
}

// leave ends all observation.
func (o *Observer) leave() {
	o.mu.Lock()
	gone := o.machines
	o.machines = map[string]*sighting{}
	for _, s := range gone {
		s.forgetProcess()
	}
	o.mu.Unlock()
	for _, s := range gone {
		s.end()
	}
}

func (s *sighting) end() {
	for _, stop := range s.stop {
		stop()
	}
}

// runs tells by one system call whether the first process still runs; false also
// where that cannot be told. Observer.mu must be held.
func (s *sighting) runs() bool {
	if s.process < 0 {
		return false
	}
	poll := []unix.PollFd{{Fd: int32(s.process), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 0
}

func (s *sighting) forgetProcess() {
	if s.process >= 0 {
		unix.Close(s.process)
		s.process = -1
	}
}

// Power is Cluster.PowerState, at the cost of one system call for a machine that
// is on.
func (o *Observer) Power(name string) cluster.Power {
	o.mu.Lock()
	s := o.machines[name]
	runs := s != nil && s.runs()
	o.mu.Unlock()
	if runs {
		return cluster.PowerOn
	}
	return o.Cluster.PowerState(name)
}

// lookAround begins to observe machines that are on, and ends it for those that
// are not.
func (o *Observer) lookAround() {
	changed := false
	for i := range o.Cluster.Topology.Machines {
		m := &o.Cluster.Topology.Machines[i]
		o.mu.Lock()
		old := o.machines[m.Name]
		runs := old != nil && old.runs()
		o.mu.Unlock()
		if old != nil && old.deaf {
			o.followLogs(m, old)
		}
		if runs {
			continue
		}
		pid := 0
		if mark, err := boot.ReadMark(MachineRun(o.Cluster.RunDir, m.Name)); err == nil && mark.Alive() {
			pid = mark.PID
		}
		if old == nil && pid == 0 || old != nil && old.pid == pid {
			continue
		}
		changed = true
		if old != nil {
			o.mu.Lock()
			delete(o.machines, m.Name)
			old.forgetProcess()
			o.mu.Unlock()
			old.end()
		}
		if pid != 0 {
			o.begin(m, pid)
		}
	}
	if changed {
		o.Touch()
	}
}

func (o *Observer) begin(m *topology.Machine, pid int) {
	s := &sighting{pid: pid, process: -1}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if o.Cluster.Powered(m.Name) { // it is still that process which has the number
			s.process = fd
		} else {
			unix.Close(fd)
		}
	}
	do := func(f func() error) error { return o.Cluster.fabric.Do(m.Name, f) }
	keep := func(what string, c io.Closer, err error) {
		if err != nil {
			o.Log.Warn("part of a machine is not observed", "machine", m.Name, "what", what, "error", err)
			return
		}
		s.stop = append(s.stop, func() { c.Close() })
	}
	switch m.Kind {
	case topology.KindEdge, topology.KindRouter:
		s.addresses = map[netip.Addr]bool{}
		c, err := observe.Addresses(do, func(a netip.Addr, added bool) { o.address(m, s, a, added) })
		keep("addresses", c, err)
	case topology.KindControlPlane, topology.KindWorker:
		// Its address goes when its power is cut.
		gone, err := observe.Addresses(do, func(_ netip.Addr, added bool) { o.hurry(added) })
		keep("addresses", gone, err)
		// Names of kube-proxy's chains end in "-NAMESPACE/SERVICE/PROTOCOL/PORT"
		// (pkg/proxy/nftables/proxier.go of v1.36).
		c, err := observe.Rules(do, "-"+o.Namespace+"/"+o.Service+"/", func(at time.Time) { o.round.Add(m.Name, at) })
		keep("packet filter", c, err)
	}
	o.followLogs(m, s)
	o.mu.Lock()
	o.machines[m.Name] = s
	o.mu.Unlock()
	if s.addresses != nil {
		for _, a := range o.Cluster.addressesOf(m.Name) {
			o.found(m, s, a)
		}
	}
}

func (o *Observer) nodesUp() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for name := range o.machines {
		if m := o.Cluster.Topology.Machine(name); m.IsNode() {
			n++
		}
	}
	return n
}

// hurry looks around at once when an address went: its machine may be going.
func (o *Observer) hurry(added bool) {
	if added {
		return
	}
	select {
	case o.kick <- struct{}{}:
	default:
	}
}

// found takes in an address that was there before.
func (o *Observer) found(m *topology.Machine, s *sighting, a netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.addresses[a] = true
	if name := o.Cluster.virtual(m, a); name != "" {
		o.holders[name] = m.Name
	}
}

// address takes in an address that came or went.
func (o *Observer) address(m *topology.Machine, s *sighting, a netip.Addr, added bool) {
	now := time.Now()
	o.hurry(added)
	o.mu.Lock()
	if s.addresses[a] == added {
		o.mu.Unlock()
		return
	}
	if added {
		s.addresses[a] = true
	} else {
		delete(s.addresses, a)
	}
	name := o.Cluster.virtual(m, a)
	before := o.holders[name]
	switch {
	case name == "":
	case added:
		o.holders[name] = m.Name
	case before == m.Name:
		// A backup that took it for a moment gives it back to who never lost it.
		for other, s := range o.machines {
			if s.addresses[a] {
				o.holders[name] = other
			}
		}
	}
	o.mu.Unlock()
	if name == "" {
		return
	}
	subject := map[string]string{"users": "users' virtual IP", "api": "API's virtual IP", "gateways": "gateway addresses"}[name]
	c := cluster.Change{Kind: cluster.AddressLost, Subject: subject, Node: m.Name, At: now, Detail: true,
		Text: fmt.Sprintf("%s gave up the %s", m.Name, subject), Fields: map[string]string{"address": a.String(), "name": name}}
	if added {
		c.Kind, c.Detail = cluster.AddressMoved, false
		c.Text = fmt.Sprintf("%s answers for the %s now", m.Name, subject)
		if before != "" && before != m.Name {
			c.Text += ", before it was " + before
			c.Fields["before"] = before
		}
	}
	o.Tell(c)
	o.Touch()
}

// Machines lists the machines that are not nodes, from what was told; see
// Cluster.Machines.
func (o *Observer) Machines() []cluster.Machine {
	out := []cluster.Machine{}
	for _, m := range o.Cluster.Topology.Of(topology.KindRouter, topology.KindEdge, topology.KindOutside) {
		row := cluster.Machine{Name: m.Name, Kind: string(m.Kind), Address: m.Addr().String(), Power: o.Power(m.Name)}
		o.mu.Lock()
		if s := o.machines[m.Name]; s != nil && row.Power == cluster.PowerOn {
			for a := range s.addresses {
				if name := o.Cluster.virtual(m, a); name != "" {
					row.Holds = append(row.Holds, name)
				}
			}
			sortHolds(row.Holds)
		}
		o.mu.Unlock()
		out = append(out, row)
	}
	return out
}

// File reads a file of a running machine of some kind, the first that has it, and
// says which machine that is.
func (o *Observer) File(kind topology.Kind, path string) (data []byte, machine string, err error) {
	err = fmt.Errorf("no machine of kind %s runs: %w", kind, os.ErrNotExist)
	for _, m := range o.Cluster.Topology.Of(kind) {
		o.mu.Lock()
		s := o.machines[m.Name]
		o.mu.Unlock()
		if s == nil {
			continue
		}
		if data, err = os.ReadFile(fmt.Sprintf("/proc/%d/root%s", s.pid, path)); err == nil {
			return data, m.Name, nil
		}
	}
	return nil, "", err
}

// followLogs reads the logs of a machine's programs that tell what nobody else
// does.
func (o *Observer) followLogs(m *topology.Machine, s *sighting) {
	if o.logs == nil {
		return
	}
	root := fmt.Sprintf("/proc/%d/root", s.pid)
	s.deaf = true
	if host, err := os.Stat("/"); err != nil {
		return
	} else if own, err := os.Stat(root); err != nil || os.SameFile(host, own) {
		return // its first process has not yet got as far as its own root
	}
	var err error
	follow := func(dir string, patterns []string, line func(path, text string, read time.Time)) {
		var stop func()
		if stop, err = o.logs.Follow(root+dir, patterns, line); err == nil {
			s.stop = append(s.stop, stop)
		}
	}
	switch m.Kind {
	case topology.KindEdge:
		follow("/var/log", []string{"haproxy.log"}, func(_, text string, read time.Time) { o.haproxy(m, text, read) })
	case topology.KindControlPlane:
		follow("/var/log/pods", []string{"kube-system_etcd-*", "etcd", "*.log"}, func(_, text string, _ time.Time) { o.etcd(m, text) })
	case topology.KindWorker:
		routes := map[string]*observe.Routes{}
		follow("/var/log/pods", []string{"kube-system_skipper-ingress-*", "skipper-ingress", "*.log"}, func(path, text string, _ time.Time) {
			dir := filepath.Dir(path)
			if routes[dir] == nil {
				clear(routes) // those of pods that are gone
				routes[dir] = observe.NewRoutes(o.Namespace)
			}
			if endpoints, at, ok := routes[dir].Line(text); ok {
				o.ingress(m, endpoints, at)
			}
		})
	}
	// A node that starts for the first time has no such directory for a while;
	// the next look tries again.
	s.deaf = err != nil
}

func (o *Observer) ingress(m *topology.Machine, endpoints []string, at time.Time) {
	c := cluster.Change{Kind: cluster.IngressProgrammed, Subject: "ingress on " + m.Name, Node: m.Name, At: at, Target: true, Detail: true,
		Text:   fmt.Sprintf("The ingress on %s now leads to %s", m.Name, strings.Join(endpoints, ", ")),
		Fields: map[string]string{"endpoints": strings.Join(endpoints, " ")}}
	if len(endpoints) == 0 {
		c.Text = fmt.Sprintf("The ingress on %s now leads to no endpoint", m.Name)
	}
	o.Tell(c)
}

func (o *Observer) haproxy(m *topology.Machine, line string, read time.Time) {
	v, ok := observe.HAProxyLine(line)
	if !ok {
		return
	}
	key := m.Name + " " + v.Backend + "/" + v.Server
	o.mu.Lock()
	again := o.verdicts[key] == v.State
	o.verdicts[key] = v.State
	// An API server that is slow now and then fails single checks again and again.
	soon := v.State == "failing" && read.Sub(o.told[key]) < tellAgain
	if v.State == "failing" && !soon {
		o.told[key] = read
	}
	o.mu.Unlock()
	if again || soon {
		return
	}
	c := cluster.Change{Subject: v.Backend + "/" + v.Server, Node: m.Name, At: read,
		Fields: map[string]string{"backend": v.Backend, "server": v.Server}}
	why := ""
	if v.Why != "" {
		why, c.Fields["why"] = ": "+v.Why, v.Why
	}
	switch v.State {
	case "failing":
		c.Kind, c.Detail = cluster.CheckFailed, true
		c.Text = fmt.Sprintf("A health check of %s on %s failed for %s%s", v.Backend, v.Server, m.Name, why)
	case "down":
		c.Kind = cluster.BackendDown
		c.Text = fmt.Sprintf("%s sends nothing to %s on %s any more%s", m.Name, v.Backend, v.Server, why)
	default:
		c.Kind = cluster.BackendUp
		c.Text = fmt.Sprintf("%s sends to %s on %s again", m.Name, v.Backend, v.Server)
	}
	// Both load balancers check; what the one without the virtual IP finds is
	// seen by nobody.
	o.mu.Lock()
	vip := map[string]netip.Addr{"ingress": topology.UserVIP, "apiservers": topology.APIVIP}[v.Backend]
	if s := o.machines[m.Name]; s != nil && !s.addresses[vip] {
		c.Detail = true
		c.Fields["standby"] = "true"
	}
	o.mu.Unlock()
	o.Tell(c)
}

// etcd tells each step of an election once, by the first member that does.
func (o *Observer) etcd(m *topology.Machine, line string) {
	r, ok := observe.EtcdLine(line)
	if !ok {
		return
	}
	// Members tell the same, and one that finds no quorum stands again and again
	// without a new term.
	key := "etcd " + r.Step + " " + r.Term
	o.mu.Lock()
	again := time.Since(o.told[key]) < tellAgain
	if !again {
		o.told[key] = time.Now()
	}
	o.mu.Unlock()
	if again {
		return
	}
	c := cluster.Change{Subject: "etcd", Node: m.Name, At: r.At, Fields: map[string]string{"term": r.Term}}
	switch r.Step {
	case "lost":
		c.Kind, c.Detail = cluster.LeaderLost, true
		c.Text = fmt.Sprintf("etcd on %s misses its leader (term %s)", m.Name, r.Term)
	case "election":
		c.Kind, c.Detail = cluster.ElectionBegan, true
		c.Text = fmt.Sprintf("etcd on %s stands for election after term %s", m.Name, r.Term)
	default:
		c.Kind = cluster.LeaderMoved
		c.Text = fmt.Sprintf("etcd is now led from %s (term %s)", m.Name, r.Term)
	}
	o.Tell(c)
}
