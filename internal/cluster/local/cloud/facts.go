// Package cloud does for the cluster what a cloud provider's controller does:
// it writes on the Node objects what only the wiring knows (pod range, role and
// labels of the lab file), and it answers Services of type LoadBalancer.
package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"zdl/internal/topology"
)

// Controller keeps the facts true until its context ends.
type Controller struct {
	Client   kubernetes.Interface
	Topology *topology.Topology
	Log      *slog.Logger
}

// Run watches nodes and services until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	nodes := factory.Core().V1().Nodes().Informer()
	services := factory.Core().V1().Services().Informer()
	onNode := func(obj any) {
		if node, ok := obj.(*corev1.Node); ok {
			c.reconcileNode(ctx, node)
		}
	}
	onService := func(obj any) {
		if service, ok := obj.(*corev1.Service); ok {
			c.answerLoadBalancer(ctx, service)
		}
	}
	_, _ = nodes.AddEventHandler(handler(onNode))
	_, _ = services.AddEventHandler(handler(onService))
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
}

func handler(each func(any)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{AddFunc: each, UpdateFunc: func(_, obj any) { each(obj) }}
}

// reconcileNode patches what is missing and nothing else: labels that a user
// changed later are the user's.
func (c *Controller) reconcileNode(ctx context.Context, node *corev1.Node) {
	m := c.Topology.Machine(node.Name)
	if m == nil || !m.IsNode() {
		return
	}
	patch := nodePatch(node, m)
	if patch == nil {
		return
	}
	data, err := json.Marshal(patch)
	if err == nil {
		_, err = c.Client.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, data, metav1.PatchOptions{FieldManager: "zdl"})
	}
	if err != nil && ctx.Err() == nil {
		c.Log.Warn("could not write the facts of a node", "node", node.Name, "error", err)
	}
}

func nodePatch(node *corev1.Node, m *topology.Machine) map[string]any {
	labels := map[string]string{}
	want := map[string]string{}
	for k, v := range m.Node.Labels {
		want[k] = v
	}
	if m.Kind == topology.KindControlPlane {
		want["node-role.kubernetes.io/control-plane"] = ""
	}
	for k, v := range want {
		if _, ok := node.Labels[k]; !ok {
			labels[k] = v
		}
	}
	spec := map[string]any{}
	if node.Spec.PodCIDR == "" {
		spec["podCIDR"] = m.PodCIDR.String()
		spec["podCIDRs"] = []string{m.PodCIDR.String()}
	}
	patch := map[string]any{}
	if len(labels) > 0 {
		patch["metadata"] = map[string]any{"labels": labels}
	}
	if len(spec) > 0 {
		patch["spec"] = spec
	}
	if len(patch) == 0 {
		return nil
	}
	return patch
}

// answerLoadBalancer says plainly that this lab hands out no addresses, so that
// nobody waits for one.
func (c *Controller) answerLoadBalancer(ctx context.Context, service *corev1.Service) {
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || len(service.Status.LoadBalancer.Ingress) > 0 {
		return
	}
	now := metav1.NewTime(time.Now())
	event := &corev1.Event{
		// One event per service and spec: a second attempt meets the first.
		ObjectMeta: metav1.ObjectMeta{
			Name:      fmt.Sprintf("%s.no-load-balancer.%d", service.Name, service.Generation),
			Namespace: service.Namespace,
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Service", Namespace: service.Namespace, Name: service.Name, UID: service.UID,
		},
		Type:    corev1.EventTypeWarning,
		Reason:  "LoadBalancerNotProvided",
		Message: fmt.Sprintf("this lab has no addresses for Services of type LoadBalancer, EXTERNAL-IP stays pending: use an Ingress (served at http://%s) or type NodePort", topology.UserVIP),
		Source:  corev1.EventSource{Component: "zdl"}, ReportingController: "zdl",
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	_, err := c.Client.CoreV1().Events(service.Namespace).Create(ctx, event, metav1.CreateOptions{})
	if err != nil && ctx.Err() == nil {
		c.Log.Debug("event about a LoadBalancer not written", "service", service.Name, "error", err)
	}
}
