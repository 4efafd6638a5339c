// Package addon holds what runs on every cluster of the lab: what kubeadm
// would install (kube-proxy, CoreDNS), what makes it usable (ingress, network
// policies, metrics, volumes) and the target of the attacks, the service "web".
//
// The manifests are the files below manifests/, to be read like those of any
// other cluster. They are templates only where labs differ: see shape for all
// that goes into them.
package addon

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// Params is what manifests depend on.
type Params struct {
	Lab      *labfile.Lab
	Topology *topology.Topology
	// Images maps short names ("coredns") to references with a version; see
	// artifact.Set.Images.
	Images map[string]string
	// ClusterConfiguration and KubeletConfiguration are the YAML documents that
	// kubeadm keeps in the ConfigMaps kube-system/kubeadm-config and
	// kube-system/kubelet-config, CertificateAuthority is the cluster's CA in
	// PEM for kube-public/cluster-info. Each may be empty; its ConfigMap is
	// then left out.
	ClusterConfiguration, KubeletConfiguration, CertificateAuthority string
	// TLSCertificate and TLSKey, PEM, are what the ingress shows users who ask for
	// topology.UserHost over HTTPS. Without them there is HTTP only.
	TLSCertificate, TLSKey string
}

// The manifests, in the order in which their workloads should start: first what
// lies on a user's way to the target.
var (
	essential = []string{"kubeadm-rbac", "web", "skipper", "coredns", "kube-proxy"}
	secondary = []string{"kubeadm", "kube-network-policies", "metrics-server", "local-path-storage"}
)

// Essential is what a cluster needs until users get their first answer: the
// access rights that kubeadm's offline phases leave out, kube-proxy, CoreDNS,
// the ingress controller and the target with its Ingress.
func Essential(p Params) ([]*unstructured.Unstructured, error) {
	return load(p, "essential", essential)
}

// Secondary is what a complete cluster has besides: enforcement of
// NetworkPolicies, metrics for kubectl top and autoscalers, a default
// StorageClass and kubeadm's own records.
func Secondary(p Params) ([]*unstructured.Unstructured, error) {
	return load(p, "secondary", secondary)
}

func load(p Params, directory string, names []string) ([]*unstructured.Unstructured, error) {
	if p.Lab == nil || p.Topology == nil {
		return nil, errors.New("addons need a lab and its topology")
	}
	s, err := newShape(p)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, name := range names {
		path := "manifests/" + directory + "/" + name + ".yaml"
		objects, err := render(path, s, p.Images)
		if err != nil {
			return nil, fmt.Errorf("addon %s: %w", name, err)
		}
		for _, object := range objects {
			if len(p.Topology.Of(topology.KindControlPlane)) == 1 {
				break // a small lab has memory to spare, and boots faster
			}
			if err := frugal(object); err != nil {
				return nil, fmt.Errorf("addon %s: %w", name, err)
			}
		}
		all = append(all, objects...)
	}
	return all, nil
}
