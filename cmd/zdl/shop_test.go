package main

import (
	"strings"
	"testing"

	"zdl/internal/cluster"
)

func TestShopStatusShowsPartsAndWhatIsMissing(t *testing.T) {
	ready := cluster.Shop{Available: true, Installed: true, Ready: true, Revision: 2, Routing: cluster.RoutingPerService, Hosts: []string{"shop.zdl.test", "shop.localhost"}, Address: "198.18.0.100:80",
		Parts: []cluster.ShopPart{
			{Name: "cart", Image: "zdl.local/shop-cart:v1", Replicas: 2, Ready: 2, Nodes: []string{"worker-1", "worker-2"}},
			{Name: "redis", Store: true, Image: "zdl.local/redis:7", Replicas: 1, Ready: 1, Nodes: []string{"db-1"}},
		}}
	waiting := ready
	waiting.Ready, waiting.Trouble = false, "not all replicas are ready: redis (0 of 1)"
	for name, c := range map[string]struct {
		shop cluster.Shop
		want []string
	}{
		"ready":      {ready, []string{"ready, revision 2", "http://shop.zdl.test, http://shop.localhost at 198.18.0.100:80", "cart   service  2/2", "redis  store    1/1    zdl.local/redis:7       db-1"}},
		"waiting":    {waiting, []string{"not ready: not all replicas are ready: redis (0 of 1)", "cart"}},
		"none":       {cluster.Shop{Available: true}, []string{"There is no shop; install one: zdl shop up"}},
		"impossible": {cluster.Shop{Why: "no images"}, []string{"This lab cannot have a shop: no images"}},
	} {
		a, stdout, stderr := testApp(t)
		fakeDaemon(t, a, "default", map[string]any{"GET /api/v1/shop": c.shop})
		if code := run(t, a, "shop", "status"); code != exitOK {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, stdout)
			}
		}
	}
}

func TestShopUpReturnsWhatThereIs(t *testing.T) {
	a, stdout, stderr := testApp(t)
	fakeDaemon(t, a, "default", map[string]any{
		"POST /api/v1/shop": cluster.Shop{Available: true, Installed: true, Ready: true, Address: "198.18.0.100:80"},
		"GET /api/v1/shop":  cluster.Shop{Available: true},
	})
	if code := run(t, a, "shop", "up", "-o", "json"); code != exitOK || !strings.Contains(stdout.String(), `"address": "198.18.0.100:80"`) {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
