package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"zdl/internal/topology"
)

// Layout is where the Kubernetes files of every node lie on the host. They are
// made once, outlive power cuts, and are bound at /etc/kubernetes.
type Layout struct {
	Dir     string // one directory per machine below it
	Kubeadm string // path of the program kubeadm-phases
}

// Kubernetes is the directory that becomes a node's /etc/kubernetes.
func (l Layout) Kubernetes(machine string) string {
	return filepath.Join(l.root(machine), "etc", "kubernetes")
}

// AdminConf is the kubeconfig that kubeadm makes for the administrator of the
// cluster; it works once the addons have bound its group.
func (l Layout) AdminConf(firstControlPlane string) string {
	return filepath.Join(l.Kubernetes(firstControlPlane), "admin.conf")
}

// SuperAdminConf is the kubeconfig of group system:masters, which needs no RBAC.
func (l Layout) SuperAdminConf(firstControlPlane string) string {
	return filepath.Join(l.Kubernetes(firstControlPlane), "super-admin.conf")
}

// CertificateAuthority is the cluster's CA certificate, PEM.
func (l Layout) CertificateAuthority() ([]byte, error) {
	matches, err := filepath.Glob(filepath.Join(l.Dir, "*", "rootfs", "etc", "kubernetes", "pki", "ca.crt"))
	if err != nil || len(matches) == 0 {
		return nil, fmt.Errorf("no CA certificate below %s: %w", l.Dir, errors.Join(err, fs.ErrNotExist))
	}
	return os.ReadFile(matches[0])
}

func (l Layout) root(machine string) string { return filepath.Join(l.Dir, machine, "rootfs") }
func (l Layout) marker() string             { return filepath.Join(l.Dir, "layout-complete") }

// Complete tells whether the files of all nodes have been made.
func (l Layout) Complete() bool {
	_, err := os.Stat(l.marker())
	return err == nil
}

// sharedPKI are the files that all control planes hold in common.
var sharedPKI = []string{
	"ca.crt", "ca.key", "sa.key", "sa.pub", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.crt", "etcd/ca.key",
}

// Make runs kubeadm's phases for every node of the plan. If it was interrupted
// before, everything is made anew, since certificates of two authorities must
// not mix.
func (l Layout) Make(ctx context.Context, p *Plan) error {
	if l.Complete() {
		return nil
	}
	nodes := p.Topology.Nodes()
	for _, m := range nodes {
		root := l.root(m.Name)
		if err := os.RemoveAll(root); err != nil {
			return err
		}
		for _, dir := range []string{"etc/kubernetes/pki/etcd", "etc/kubernetes/manifests", "tmp"} {
			if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
				return err
			}
		}
		config, err := p.kubeadmConfig(m)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "kubeadm.yaml"), config, 0o600); err != nil {
			return err
		}
	}
	first := nodes[0]
	if err := l.phases(ctx, first.Name, "certs ca", "certs sa", "certs front-proxy-ca", "certs etcd-ca"); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range nodes {
		group.Go(func() error {
			if m != first {
				if err := l.share(first.Name, m.Name); err != nil {
					return err
				}
			}
			if m.Kind == topology.KindControlPlane {
				if err := l.phases(ctx, m.Name, "certs all", "kubeconfig all", "control-plane all", "etcd local"); err != nil {
					return err
				}
				return l.pointKubelet(m.Name)
			}
			if err := l.phases(ctx, m.Name, "kubeconfig kubelet"); err != nil {
				return err
			}
			return l.finishWorker(m.Name)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return os.WriteFile(l.marker(), nil, 0o600)
}

// phases runs phases of `kubeadm init` in one process, chrooted to the node's
// directory.
func (l Layout) phases(ctx context.Context, machine string, names ...string) error {
	var calls [][]string
	for _, name := range names {
		call := append([]string{"init", "phase"}, strings.Fields(name)...)
		calls = append(calls, append(call, "--config", "/kubeadm.yaml"))
	}
	input, err := json.Marshal(calls)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.Kubeadm, "--rootfs", l.root(machine))
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubeadm phases for %s: %w\n%s", machine, err, bytes.TrimSpace(out))
	}
	return nil
}

func (l Layout) share(from, to string) error {
	for _, name := range sharedPKI {
		data, err := os.ReadFile(filepath.Join(l.Kubernetes(from), "pki", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(l.Kubernetes(to), "pki", name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// finishWorker leaves a worker what a joined worker has: the cluster's CA
// certificate and a kubelet.conf that points at the API's virtual IP.
func (l Layout) finishWorker(machine string) error {
	pki := filepath.Join(l.Kubernetes(machine), "pki")
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(pki); err != nil {
		return err
	}
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(pki, "ca.crt"), ca, 0o644); err != nil {
		return err
	}
	return l.pointKubelet(machine)
}

// pointKubelet lets a kubelet reach the API by its virtual IP. kubeadm does so
// for workers; on control planes it points at the node's own API server (feature
// ControlPlaneKubeletLocalMode), whose failure then takes the node with it.
func (l Layout) pointKubelet(machine string) error {
	return Retarget(filepath.Join(l.Kubernetes(machine), "kubelet.conf"), "",
		fmt.Sprintf("https://%s:%d", topology.APIVIP, topology.APIPort))
}

// Retarget rewrites the server of a kubeconfig; to == "" rewrites it in place.
func Retarget(from, to, server string) error {
	config, err := clientcmd.LoadFromFile(from)
	if err != nil {
		return err
	}
	for _, cluster := range config.Clusters {
		cluster.Server = server
	}
	if to == "" {
		to = from
	}
	return clientcmd.WriteToFile(*config, to)
}

// Hold takes static-pod manifests of a node back, so that its kubelet does not
// start them yet; Release hands them out. On the first boot the standby
// replicas wait until the first of their kind works: two cores are few.
func (l Layout) Hold(machine string, names ...string) error {
	return l.move(machine, filepath.Join(l.Kubernetes(machine), "manifests"), filepath.Join(l.root(machine), "held"), names)
}

// Release hands held manifests to the kubelet. Without names it releases all.
func (l Layout) Release(machine string, names ...string) error {
	held := filepath.Join(l.root(machine), "held")
	if len(names) == 0 {
		entries, err := os.ReadDir(held)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			names = append(names, e.Name()[:len(e.Name())-len(".yaml")])
		}
	}
	return l.move(machine, held, filepath.Join(l.Kubernetes(machine), "manifests"), names)
}

func (l Layout) move(machine, from, to string, names []string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		err := os.Rename(filepath.Join(from, name+".yaml"), filepath.Join(to, name+".yaml"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("hand the manifest of %s to %s: %w", name, machine, err)
		}
	}
	return nil
}
