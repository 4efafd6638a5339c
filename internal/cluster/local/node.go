package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// MachineDir is a machine's state directory below a lab's.
func MachineDir(stateDir, name string) string { return filepath.Join(stateDir, "machines", name) }

// MachineRun is a machine's runtime directory below a lab's.
func MachineRun(runDir, name string) string { return filepath.Join(runDir, "machines", name) }

// spec says what a machine is made of; netns is its network namespace.
func (c *Cluster) spec(m *topology.Machine, netns string) (machine.Spec, error) {
	spec := machine.Spec{
		Lab: c.Name, Name: m.Name,
		StateDir: MachineDir(c.StateDir, m.Name), RunDir: MachineRun(c.RunDir, m.Name),
		InitBinary: c.Init, NetNS: netns,
		Hosts: map[string]string{},
	}
	for i := range c.Topology.Machines {
		spec.Hosts[c.Topology.Machines[i].Name] = c.Topology.Machines[i].Addr().String()
	}
	var err error
	switch m.Kind {
	case topology.KindControlPlane, topology.KindWorker:
		err = c.nodeSpec(m, &spec)
	case topology.KindEdge:
		spec.Files, spec.Services, err = edge.LoadBalancer(c.Topology, c.Lab, m)
	case topology.KindRouter:
		spec.Files, spec.Services, err = edge.Router(c.Topology, c.Lab, m)
	}
	return spec, err
}

// planeWeight is how much more of a busy host's CPU a control plane gets than a
// worker, with the timing "patient". Real ones do not share a processor with those that they direct: here a
// rush of starting pods would keep etcd from its disk, and the API servers from
// their liveness probes, until all of them are restarted.
const planeWeight = 4

func (c *Cluster) nodeSpec(m *topology.Machine, spec *machine.Spec) error {
	if m.Kind == topology.KindControlPlane && c.Lab.Timing == labfile.Patient {
		spec.Weight = planeWeight
	}
	spec.Memory, spec.CPUs = m.Node.MemoryBytes(), m.Node.CPUs
	spec.Disk = &machine.Disk{
		Image:    filepath.Join(spec.StateDir, "disk.img"),
		Template: c.Set.DiskTemplate,
		Size:     m.Node.DiskBytes(),
	}
	spec.Binds = []machine.Bind{
		{Source: c.Set.Bin, Target: "/opt/zdl/bin", ReadOnly: true},
		{Source: c.Set.CNI, Target: "/opt/cni/bin", ReadOnly: true},
		{Source: c.Set.Golden, Target: "/opt/zdl/golden", ReadOnly: true},
		{Source: c.layout.Kubernetes(m.Name), Target: "/etc/kubernetes"},
	}
	files, err := c.plan.Files(m, !canRaiseLimits())
	if err != nil {
		return err
	}
	spec.Files = map[string]machine.File{}
	for path, data := range files {
		spec.Files[path] = machine.File{Data: data, Mode: 0o644}
	}
	labels := []string{
		"topology.kubernetes.io/region=lab",
		"topology.kubernetes.io/zone=" + m.Zone,
		"node.kubernetes.io/instance-type=" + fmt.Sprintf("zdl-%dcpu-%s", m.Node.CPUs, m.Node.Memory),
	}
	env := append([]string{"PATH=/opt/zdl/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, c.plan.Frugal()...)
	spec.Services = []machine.Service{
		{
			Name: "containerd", Argv: []string{"/opt/zdl/bin/containerd", "--config", "/etc/containerd/config.toml"},
			Env: env,
		},
		{
			Name: "kubelet",
			Argv: []string{
				"/opt/zdl/bin/kubelet",
				"--config=/var/lib/kubelet/config.yaml",
				"--kubeconfig=/etc/kubernetes/kubelet.conf",
				"--hostname-override=" + m.Name,
				"--node-ip=" + m.Addr().String(),
				"--node-labels=" + strings.Join(labels, ","),
			},
			Env:     env,
			WaitFor: []string{"/run/containerd/containerd.sock"},
			// It writes its serving certificate without a sync, and ends when it
			// finds an empty one; without one it makes another.
			DropEmpty: []string{"/var/lib/kubelet/pki/*", "/var/lib/kubelet/*_state", "/var/lib/kubelet/*_checkpoint"},
		},
	}
	return nil
}

// canRaiseLimits tells whether this process has CAP_SYS_RESOURCE (bit 24 in
// linux/capability.h). Without it containerd must not lower oom_score_adj.
func canRaiseLimits() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && bits&(1<<24) != 0
		}
	}
	return false
}
