package lab

import (
	"context"
	"net"

	"zdl/internal/shop"
)

// newShop knows how a shop is installed in this lab; whether there is one is for the
// cluster to say.
func (d *daemon) newShop() *shop.Manager {
	return shop.New(shop.Config{
		Missing: shop.Missing(d.set),
		Values:  shop.LabValues(d.lab, d.cluster.Topology, d.set),
		Kube:    d.cluster.RESTConfig,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.cluster.Dial(ctx, "outside", network, addr)
		},
		Record: func(kind, subject, text string, fields map[string]string) { d.story.Add(kind, subject, text, fields) },
		Log:    d.log,
	})
}
