// Package controlplane makes of a machine what kubeadm would make of it: the
// certificates, kubeconfigs and static-pod manifests come from kubeadm's own
// phases, and the kubelet and containerd get the configuration that belongs to
// them. What people know about the files of a kubeadm cluster holds here.
package controlplane

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// Plan is one cluster to be laid out.
type Plan struct {
	Lab               *labfile.Lab
	Topology          *topology.Topology
	KubernetesVersion string // "v1.36.3"
	EtcdTag           string // tag of the etcd image
	PauseImage        string // reference of the sandbox image
}

type arg struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Frugal are environment variables of the programs of a lab with several
// control planes: they halve how far an idle Go program's heap may grow between
// garbage collections. A small lab has memory to spare, and boots faster without.
func (p *Plan) Frugal() []string {
	if len(p.Topology.Of(topology.KindControlPlane)) == 1 {
		return nil
	}
	return []string{"GOGC=50"}
}

func (p *Plan) extraEnvs() []arg {
	var out []arg
	for _, variable := range p.Frugal() {
		name, value, _ := strings.Cut(variable, "=")
		out = append(out, arg{name, value})
	}
	return out
}

// flexVolumes replaces /usr/libexec/kubernetes/…, which is read-only in a machine.
const flexVolumes = "/var/lib/kubelet/volumeplugins"

// kubeadmConfig is the kubeadm configuration of one node (kubeadm.k8s.io/v1beta4).
func (p *Plan) kubeadmConfig(m *topology.Machine) ([]byte, error) {
	initConfig, err := yaml.Marshal(map[string]any{
		"apiVersion":       "kubeadm.k8s.io/v1beta4",
		"kind":             "InitConfiguration",
		"localAPIEndpoint": map[string]any{"advertiseAddress": m.Addr().String(), "bindPort": topology.APIPort},
		"nodeRegistration": map[string]any{
			"name": m.Name, "criSocket": "unix:///run/containerd/containerd.sock", "imagePullPolicy": "Never",
		},
	})
	if err != nil {
		return nil, err
	}
	clusterConfig, err := p.ClusterConfiguration()
	if err != nil {
		return nil, err
	}
	return []byte(string(initConfig) + "---\n" + string(clusterConfig)), nil
}

// ClusterConfiguration is kubeadm's description of the whole cluster, the same
// for all nodes.
func (p *Plan) ClusterConfiguration() ([]byte, error) {
	timing := Timings(p.Lab.Timing)
	var members []string
	for _, cp := range p.Topology.Of(topology.KindControlPlane) {
		members = append(members, fmt.Sprintf("%s=https://%s:2380", cp.Name, cp.Addr()))
	}
	election := []arg{
		{"leader-elect-lease-duration", timing.LeaseDuration},
		{"leader-elect-renew-deadline", timing.RenewDeadline},
		{"leader-elect-retry-period", timing.RetryPeriod},
	}
	tolerate := strconv.Itoa(timing.TolerationSeconds)
	return yaml.Marshal(map[string]any{
		"apiVersion":           "kubeadm.k8s.io/v1beta4",
		"kind":                 "ClusterConfiguration",
		"kubernetesVersion":    p.KubernetesVersion,
		"controlPlaneEndpoint": fmt.Sprintf("%s:%d", topology.APIVIP, topology.APIPort),
		"imageRepository":      "zdl.local",
		"encryptionAlgorithm":  "ECDSA-P256",
		"networking": map[string]any{
			"serviceSubnet": topology.ServiceCIDR.String(),
			"podSubnet":     topology.PodCIDR.String(),
			"dnsDomain":     "cluster.local",
		},
		"apiServer": map[string]any{
			"certSANs": []string{topology.APIVIP.String(), "127.0.0.1", "localhost"},
			"extraArgs": []arg{
				{"default-not-ready-toleration-seconds", tolerate},
				{"default-unreachable-toleration-seconds", tolerate},
			},
			"extraEnvs": p.extraEnvs(),
		},
		"controllerManager": map[string]any{
			"extraArgs": append([]arg{
				// The pod ranges are part of the wiring, so the lab assigns them.
				{"allocate-node-cidrs", "false"},
				{"flex-volume-plugin-dir", flexVolumes},
				{"kube-api-qps", "500"},
				{"kube-api-burst", "1000"},
				{"node-monitor-period", timing.NodeMonitorPeriod},
				{"node-monitor-grace-period", timing.NodeMonitorGrace},
			}, election...),
			"extraEnvs": p.extraEnvs(),
		},
		"scheduler": map[string]any{"extraArgs": election, "extraEnvs": p.extraEnvs()},
		"etcd": map[string]any{"local": map[string]any{
			"imageTag": p.EtcdTag,
			"extraArgs": []arg{
				{"initial-cluster", strings.Join(members, ",")},
				{"initial-cluster-state", "new"},
				{"initial-cluster-token", "zdl"},
				// With the check on, a member that starts waits about 7 s for
				// each peer that is away: a power cycle takes 25 s, not 10.
				{"feature-gates", "InitialCorruptCheck=false"},
			},
		}},
	})
}

// KubeletConfiguration is the cluster's kubelet configuration, as kubeadm keeps
// it in the ConfigMap kubelet-config: that of a node without taints of its own.
func (p *Plan) KubeletConfiguration() ([]byte, error) {
	return p.kubeletConfig(nil)
}

// kubeletConfig is /var/lib/kubelet/config.yaml of one node
// (kubelet.config.k8s.io/v1beta1): kubeadm's, and what a machine made of
// namespaces needs beyond it.
func (p *Plan) kubeletConfig(m *topology.Machine) ([]byte, error) {
	timing := Timings(p.Lab.Timing)
	config := map[string]any{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"staticPodPath":            "/etc/kubernetes/manifests",
		"clusterDNS":               []string{topology.DNS.String()},
		"clusterDomain":            "cluster.local",
		"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true, "cacheTTL": "0s"},
			"x509":      map[string]any{"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
		},
		"authorization":                map[string]any{"mode": "Webhook"},
		"rotateCertificates":           false,
		"healthzBindAddress":           "127.0.0.1",
		"cgroupDriver":                 "cgroupfs",
		"cgroupRoot":                   "/",
		"failCgroupV1":                 false,
		"failSwapOn":                   false,
		"makeIPTablesUtilChains":       false,
		"imageGCHighThresholdPercent":  100,
		"volumePluginDir":              flexVolumes,
		"nodeStatusUpdateFrequency":    timing.NodeStatusFrequency,
		"nodeStatusReportFrequency":    timing.NodeStatusFrequency,
		"nodeLeaseDurationSeconds":     timing.NodeLeaseSeconds,
		"resolvConf":                   "/etc/resolv.conf",
		"containerLogMaxSize":          "4Mi",
		"containerLogMaxFiles":         2,
		"registryPullQPS":              0,
		"eventRecordQPS":               0,
		"kubeAPIQPS":                   100,
		"kubeAPIBurst":                 200,
		"syncFrequency":                "10s",
		"shutdownGracePeriod":          "0s",
		"enableControllerAttachDetach": true,
	}
	if taints := p.taints(m); len(taints) > 0 {
		config["registerWithTaints"] = taints
	}
	return yaml.Marshal(config)
}

func (p *Plan) taints(m *topology.Machine) []map[string]string {
	var out []map[string]string
	if m == nil {
		return nil
	}
	if m.Kind == topology.KindControlPlane {
		out = append(out, map[string]string{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
	}
	for _, t := range m.Node.Taints {
		taint := map[string]string{"key": t.Key, "effect": t.Effect}
		if t.Value != "" {
			taint["value"] = t.Value
		}
		out = append(out, taint)
	}
	return out
}

// cniConfig gives each pod a point-to-point link and an address of the node's
// range. The routes between the nodes belong to the fabric, as in a cloud.
func (p *Plan) cniConfig(m *topology.Machine) string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "zdl",
  "plugins": [
    {
      "type": "ptp",
      "mtu": 1500,
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni-ipam",
        "ranges": [[{"subnet": "%s"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true, "backend": "nftables"}
  ]
}
`, m.PodCIDR)
}

// containerdConfig is /etc/containerd/config.toml (version 3, containerd 2.x).
func (p *Plan) containerdConfig(restrictOOMScore bool) string {
	return fmt.Sprintf(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.opt",
]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "%s"

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = %t
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "/opt/zdl/bin/runc"
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/etc/cni/net.d"
`, p.PauseImage, restrictOOMScore)
}

// Files are the files of a node beside /etc/kubernetes, by absolute path.
// restrictOOMScore is needed where the host has no CAP_SYS_RESOURCE.
func (p *Plan) Files(m *topology.Machine, restrictOOMScore bool) (map[string][]byte, error) {
	kubelet, err := p.kubeletConfig(m)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"/var/lib/kubelet/config.yaml":   kubelet,
		"/etc/containerd/config.toml":    []byte(p.containerdConfig(restrictOOMScore)),
		"/etc/cni/net.d/10-zdl.conflist": []byte(p.cniConfig(m)),
		"/etc/resolv.conf":               []byte("nameserver " + topology.DNS.String() + "\n"),
	}, nil
}
