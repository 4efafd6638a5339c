package lab

import (
	"context"

	"k8s.io/client-go/kubernetes"

	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
)

// The target's names, as package addon deploys it.
const targetNamespace, targetService = "web", "web"

// observer hears what the machines tell by themselves and writes it down.
func (d *daemon) observer(touch func()) *local.Observer {
	return &local.Observer{
		Cluster: d.cluster, Namespace: targetNamespace, Service: targetService,
		Tell: d.tell, Touch: touch, Log: d.log,
	}
}

// tell adds one change of the cluster to the timeline.
func (d *daemon) tell(c cluster.Change) {
	d.etcd.heard(c)
	d.story.Record(c)
}

// explainer answers why an outage lasted as long as it did.
func (d *daemon) explainer(client kubernetes.Interface, observer *local.Observer) func(ctx context.Context, subject string, id int) (cause.Breakdown, bool) {
	settings := &settingsReader{client: client, observer: observer, timing: d.lab.Timing}
	return func(ctx context.Context, subject string, id int) (cause.Breakdown, bool) {
		entries := d.story.Since(0, 0)
		o, ok := cause.Find(entries, subject, id)
		if !ok {
			return cause.Breakdown{}, false
		}
		return cause.Explain(o, entries, settings.read(ctx)), true
	}
}
