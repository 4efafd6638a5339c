package lab

import (
	"context"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"zdl/internal/cluster/local/cloud"
)

// watch starts everything that needs the API: it is called once, as soon as
// the API answers.
func (d *daemon) watch(ctx context.Context, config *rest.Config) error {
	if err := d.cluster.WriteKubeconfig(d.kubeconfigPath(), "https://"+d.record.API); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller := &cloud.Controller{Client: client, Topology: d.cluster.Topology, Log: d.log}
	d.work.Go(func() { controller.Run(ctx) })
	return nil
}
