// Package shop installs, removes and looks at the lab's shop: eight services and
// five data stores, by its Helm chart and Helm's own library. It is not part of a
// lab's boot. What is installed is known to the cluster alone, as a release of Helm,
// so nothing of it is lost with the daemon.
package shop

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	manifests "zdl/deploy/shop"
	"zdl/internal/cluster"
	"zdl/internal/topology"
)

// Namespace is where the shop is.
const Namespace = manifests.Namespace

// selected are the objects of the shop.
const selected = "app.kubernetes.io/part-of=shop"

// Address is where users reach the shop.
func Address() string { return netip.AddrPortFrom(topology.UserVIP, 80).String() }

// Config is what a Manager works with.
type Config struct {
	// Missing says why there cannot be a shop, "" if there can.
	Missing string
	// Values are those of the chart that this lab differs in.
	Values map[string]any
	// Kube gives access to the API server.
	Kube func() (*rest.Config, error)
	// Dial connects from where users are.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Record tells the timeline.
	Record func(kind, subject, text string, fields map[string]string)
	Log    *slog.Logger
}

// Manager is the lab's shop.
type Manager struct {
	c    Config
	verb sync.Mutex // held by Up and Down
}

// New does not ask the cluster anything yet.
func New(c Config) *Manager {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{c: c}
}

// Missing says why this lab cannot have a shop, "" if it can.
func (m *Manager) Missing() string { return m.c.Missing }

// Status is how the shop is, by what the API server says.
func (m *Manager) Status(ctx context.Context) cluster.Shop {
	s := cluster.Shop{Available: m.c.Missing == "", Why: m.c.Missing, Address: Address(), Parts: []cluster.ShopPart{}}
	if m.c.Missing != "" {
		return s
	}
	config, err := m.c.Kube()
	if err != nil {
		s.Trouble = "the API server cannot be asked: " + err.Error()
		return s
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.Trouble = err.Error()
		return s
	}
	if err := look(ctx, client, &s); err != nil {
		s.Ready, s.Trouble = false, "the API server cannot be asked: "+err.Error()
	}
	return s
}

// look reads what there is into s.
func look(ctx context.Context, client kubernetes.Interface, s *cluster.Shop) error {
	options := metav1.ListOptions{LabelSelector: selected}
	deployments, err := client.AppsV1().Deployments(Namespace).List(ctx, options)
	if err != nil {
		return err
	}
	stores, err := client.AppsV1().StatefulSets(Namespace).List(ctx, options)
	if err != nil {
		return err
	}
	releases, err := client.CoreV1().Secrets(Namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + manifests.Release})
	if err != nil {
		return err
	}
	s.Installed = len(deployments.Items)+len(stores.Items)+len(releases.Items) > 0
	if !s.Installed {
		return nil
	}
	s.Revision = revision(releases.Items)
	pods, err := client.CoreV1().Pods(Namespace).List(ctx, options)
	if err != nil {
		return err
	}
	routes, err := client.NetworkingV1().Ingresses(Namespace).List(ctx, options)
	if err != nil {
		return err
	}
	s.Routing, s.Hosts = routing(routes.Items)
	nodes := nodesOf(pods.Items)
	for i := range deployments.Items {
		s.Parts = append(s.Parts, service(&deployments.Items[i], nodes))
	}
	for i := range stores.Items {
		s.Parts = append(s.Parts, store(&stores.Items[i], nodes))
	}
	slices.SortFunc(s.Parts, func(a, b cluster.ShopPart) int {
		if a.Store != b.Store {
			if a.Store {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
	judge(s)
	return nil
}

// judge says what is missing.
func judge(s *cluster.Shop) {
	var waiting []string
	for _, p := range s.Parts {
		if p.Ready < p.Replicas || p.Replicas == 0 {
			waiting = append(waiting, fmt.Sprintf("%s (%d of %d)", p.Name, p.Ready, p.Replicas))
		}
	}
	switch want := len(Services) + len(Stores); {
	case len(s.Parts) < want:
		s.Trouble = fmt.Sprintf("%d of %d services and stores are there", len(s.Parts), want)
	case len(waiting) > 0:
		s.Trouble = "not all replicas are ready: " + strings.Join(waiting, ", ")
	default:
		s.Ready = true
	}
}

func service(d *appsv1.Deployment, nodes map[string][]string) cluster.ShopPart {
	p := cluster.ShopPart{Name: d.Name, Image: d.Spec.Template.Spec.Containers[0].Image, Replicas: 1, Nodes: nodes[d.Name]}
	if d.Spec.Replicas != nil {
		p.Replicas = int(*d.Spec.Replicas)
	}
	// Until the controller has seen a change, its numbers are of the time before.
	if d.Status.ObservedGeneration >= d.Generation {
		p.Ready = int(min(d.Status.UpdatedReplicas, d.Status.AvailableReplicas))
	}
	return p
}

func store(s *appsv1.StatefulSet, nodes map[string][]string) cluster.ShopPart {
	p := cluster.ShopPart{Name: s.Name, Store: true, Image: s.Spec.Template.Spec.Containers[0].Image, Replicas: 1, Nodes: nodes[s.Name]}
	if s.Spec.Replicas != nil {
		p.Replicas = int(*s.Spec.Replicas)
	}
	if s.Status.ObservedGeneration >= s.Generation {
		p.Ready = int(min(s.Status.UpdatedReplicas, s.Status.AvailableReplicas))
	}
	return p
}

// nodesOf lists by part where its pods are.
func nodesOf(pods []corev1.Pod) map[string][]string {
	out := map[string][]string{}
	for _, p := range pods {
		if name := p.Labels["app.kubernetes.io/name"]; p.Spec.NodeName != "" && p.DeletionTimestamp == nil {
			out[name] = append(out[name], p.Spec.NodeName)
		}
	}
	for _, nodes := range out {
		slices.Sort(nodes)
	}
	return out
}

// routing reads from the routes which way they are made.
func routing(routes []networkingv1.Ingress) (way string, hosts []string) {
	for _, r := range routes {
		if r.Name == "web" {
			if way == "" {
				way = cluster.RoutingAllToWeb
			}
			for _, rule := range r.Spec.Rules {
				hosts = append(hosts, rule.Host)
			}
			continue
		}
		way = cluster.RoutingPerService
	}
	return way, hosts
}

// revision is the highest of Helm's records.
func revision(records []corev1.Secret) int {
	highest := 0
	for _, r := range records {
		var n int
		if _, err := fmt.Sscan(r.Labels["version"], &n); err == nil {
			highest = max(highest, n)
		}
	}
	return highest
}
