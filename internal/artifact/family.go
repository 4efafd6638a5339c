package artifact

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A family is one upstream project, built from one directory below upstream/
// with one go.mod that locks its exact version.
type family struct {
	name   string // directory below upstream/
	module string // the module whose version is the family's
	// packages to build, relative to upstream/NAME or as import paths of the
	// modules its go.mod names as tools
	packages []string
	rename   map[string]string // program named by its package → name it shall have
	links    []string          // further names of the first program
	place    place
	cgo      bool
	tags     string
	ldflags  string // "{version}" is replaced; -s -w are always there
	overlay  []overlay
	// own: it is part of this project's own module.
	own bool
	// debian: it is an image's layer of Debian packages. Where it cannot be built, the
	// image is left out, and why is said.
	debian *debianImage
	// build replaces the Go compiler where a program is not written in Go.
	build func(b *builder, f family, version, out string) ([]string, error)
}

// overlay changes one file of an upstream module for the time of a build,
// where a kernel needs something upstream has no switch for: it puts file, of
// the family's directory, in the place of path, or replaces the one occurrence
// of old in it by new, or puts text there, with the version for "{version}".
type overlay struct{ module, path, file, old, new, text string }

// place says which directory of a set the programs of a family go to.
type place int

const (
	inImages place = iota // only inside container images
	inBin
	inCNI
)

const kubeVersionPackage = "k8s.io/component-base/version"

// families lists what is built, quick ones first so that a fault in the
// tools shows early and not after ten minutes.
var families = []family{
	{
		name:     "runc",
		module:   "github.com/opencontainers/runc",
		packages: []string{"github.com/opencontainers/runc"},
		place:    inBin,
		// Without seccomp every pod fails that asks for RuntimeDefault, and
		// libseccomp is C.
		cgo:     true,
		tags:    "netgo osusergo seccomp",
		ldflags: "-linkmode external -extldflags -static",
	},
	{
		name:   "pause",
		module: "k8s.io/kubernetes",
		build:  buildPause,
	},
	{
		name:   "cni",
		module: "github.com/containernetworking/plugins",
		packages: []string{
			"github.com/containernetworking/plugins/plugins/main/bridge",
			"github.com/containernetworking/plugins/plugins/main/loopback",
			"github.com/containernetworking/plugins/plugins/main/ptp",
			"github.com/containernetworking/plugins/plugins/ipam/host-local",
			"github.com/containernetworking/plugins/plugins/meta/bandwidth",
			"github.com/containernetworking/plugins/plugins/meta/portmap",
		},
		place:   inCNI,
		ldflags: "-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={version}",
	},
	{
		name:   "etcd",
		module: "go.etcd.io/etcd/server/v3",
		packages: []string{
			"go.etcd.io/etcd/server/v3",
			"go.etcd.io/etcd/etcdctl/v3",
			"go.etcd.io/etcd/etcdutl/v3",
		},
		rename: map[string]string{"server": "etcd"},
		place:  inBin,
	},
	{
		name:   "containerd",
		module: "github.com/containerd/containerd/v2",
		packages: []string{
			"github.com/containerd/containerd/v2/cmd/containerd",
			"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"github.com/containerd/containerd/v2/cmd/ctr",
		},
		place:   inBin,
		ldflags: "-X github.com/containerd/containerd/v2/version.Version={version}",
	},
	{
		name:     "local-path-provisioner",
		module:   "github.com/rancher/local-path-provisioner",
		packages: []string{"github.com/rancher/local-path-provisioner"},
		ldflags:  "-X main.VERSION={version}",
	},
	{
		name:     "metrics-server",
		module:   "sigs.k8s.io/metrics-server",
		packages: []string{"sigs.k8s.io/metrics-server/cmd/metrics-server"},
		ldflags:  "-X k8s.io/client-go/pkg/version.gitVersion={version}",
	},
	{
		name:     "kube-network-policies",
		module:   "sigs.k8s.io/kube-network-policies",
		packages: []string{"sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard"},
		rename:   map[string]string{"standard": "kube-network-policies"},
		overlay: []overlay{
			{module: "github.com/google/nftables", path: "expr/queue.go", file: "_overlay/queue.go"},
			{module: "sigs.k8s.io/kube-network-policies", path: "cmd/kube-network-policies/standard/probe.go", file: "_overlay/probe.go"},
			// It cuts connections that a new policy forbids by clearing their
			// conntrack label, which netlink sends only after its release v1.3.1.
			{
				module: "github.com/vishvananda/netlink", path: "conntrack_linux.go",
				old: "payload = append(payload, ctTupleOrig, ctTupleReply, ctMark, ctTimeout)\n",
				new: "payload = append(payload, ctTupleOrig, ctTupleReply, ctMark, ctTimeout)\n" +
					"\tif len(s.Labels) > 0 {\n\t\tpayload = append(payload, nl.NewRtAttr(nl.CTA_LABELS, s.Labels))\n\t}\n",
			},
		},
	},
	{
		name:     "skipper",
		module:   "github.com/zalando/skipper",
		packages: []string{"github.com/zalando/skipper/cmd/skipper"},
		ldflags:  "-X main.version={version}",
	},
	{
		// The document store. Version 1 with SQLite below: version 2 needs PostgreSQL
		// with the extension DocumentDB, which is C that neither Debian's packages nor
		// Go's modules hold. Without its other backends it is a fifth smaller.
		name:     "ferretdb",
		module:   "github.com/FerretDB/FerretDB",
		packages: []string{"github.com/FerretDB/FerretDB/cmd/ferretdb"},
		tags:     "ferretdb_no_postgresql",
		// Its own release process writes this file; without it the program panics.
		overlay: []overlay{{module: "github.com/FerretDB/FerretDB", path: "build/version/version.txt", text: "{version}\n"}},
	},
	{
		name:     "coredns",
		module:   "github.com/coredns/coredns",
		packages: []string{"github.com/coredns/coredns"},
	},
	{
		name:     "kubernetes",
		module:   "k8s.io/kubernetes",
		packages: []string{"."},
		links: []string{
			"kube-apiserver", "kube-controller-manager", "kube-scheduler",
			"kube-proxy", "kubelet", "kubectl", "kubeadm", "kubeadm-phases",
		},
		place: inBin,
		ldflags: "-X " + kubeVersionPackage + ".gitVersion={version}" +
			" -X " + kubeVersionPackage + ".gitMajor={major}" +
			" -X " + kubeVersionPackage + ".gitMinor={minor}" +
			" -X " + kubeVersionPackage + ".gitTreeState=clean",
	},
}

// dir is the family's directory in the source tree. The pause program comes
// with the kubernetes module and is locked by its go.mod.
func (f family) dir(source string) string {
	if f.own {
		return source
	}
	name := f.name
	if name == "pause" {
		name = "kubernetes"
	}
	return filepath.Join(source, "upstream", name)
}

// linkFlags are the -ldflags for this version.
func (f family) linkFlags(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	flags := strings.NewReplacer("{version}", version, "{major}", parts[0], "{minor}", parts[min(1, len(parts)-1)]).Replace(f.ldflags)
	return strings.TrimSpace("-s -w " + flags)
}

// moduleVersion reads from dir/go.mod which version of module it requires.
func moduleVersion(dir, module string) (string, error) {
	path := filepath.Join(dir, "go.mod")
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "require "))
		if len(fields) >= 2 && fields[0] == module && strings.HasPrefix(fields[1], "v") {
			return strings.TrimSuffix(fields[1], "+incompatible"), nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("%s requires no version of %s", path, module)
}
