package incidents

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
)

// syntheticInventory is made up after the manifests of the lab and the shop's chart:
// what of them scenarios, fixes and cheats touch.
func syntheticInventory(t *testing.T) incident.Objects {
	t.Helper()
	out := incident.Objects{}
	add := func(e string, text string) {
		var o map[string]any
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		meta, _ := o["metadata"].(map[string]any)
		if meta == nil {
			meta = map[string]any{}
			o["metadata"] = meta
		}
		meta["uid"] = fmt.Sprintf("uid-%d", len(out))
		out[causal.Entity(e)] = o
	}
	workload := func(kind, namespace, name string, replicas int) {
		add(fmt.Sprintf("%s/%s/%s", kind, namespace, name), fmt.Sprintf(`{"spec":{"replicas":%d,"template":{"metadata":{},"spec":{"containers":[{"name":%q,
			"readinessProbe":{"periodSeconds":1,"failureThreshold":2},"livenessProbe":{"periodSeconds":5},"env":[{"name":"SHOP_MYSQL_DSN","valueFrom":{"secretKeyRef":{"name":"mariadb"}}},{"name":"SHOP_REDIS_ADDR","valueFrom":{"secretKeyRef":{"name":"redis"}}}],
			"resources":{"requests":{"cpu":"50m"},"limits":{"memory":"128Mi"}}}]}}},"status":{"replicas":%d,"readyReplicas":%d}}`, replicas, name, replicas, replicas))
	}
	add("namespace/shop", `{}`)
	add("namespace/web", `{}`)
	for _, name := range []string{"web", "catalogue", "cart", "user", "shipping", "ratings", "payment", "dispatch"} {
		workload("deployment", "shop", name, 2)
		add("service/shop/"+name, `{}`)
		add("poddisruptionbudget/shop/"+name, `{"spec":{"maxUnavailable":1}}`)
		add("horizontalpodautoscaler/shop/"+name, fmt.Sprintf(`{"spec":{"minReplicas":2,"maxReplicas":5,"scaleTargetRef":{"name":%q}}}`, name))
		add("replicaset/shop/"+name+"-5d8f7c9b4", `{}`)
		for i := range 2 {
			add(fmt.Sprintf("pod/shop/%s-%d", name, i+1), `{"status":{"containerStatuses":[{"restartCount":0}]}}`)
		}
	}
	for _, name := range []string{"documents", "redis", "mariadb", "rabbitmq", "orders"} {
		workload("statefulset", "shop", name, 1)
		add("persistentvolumeclaim/shop/data-"+name+"-0", `{"status":{"phase":"Bound"}}`)
		add("pod/shop/"+name+"-0", `{}`)
		add("networkpolicy/shop/"+name, `{}`)
		add("secret/shop/"+name, `{"data":{"shipping-dsn":"Zmlyc3Q=","ratings-dsn":"Zmlyc3Q=","uri":"Zmlyc3Q="}}`)
	}
	for _, name := range []string{"web", "catalogue", "cart", "user", "shipping", "ratings", "payment"} {
		add("ingress/shop/"+name, fmt.Sprintf(`{"spec":{"rules":[{"host":"shop.zdl.test","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":%q}}}]}}]}}`, name))
	}
	workload("deployment", "web", "web", 3)
	add("ingress/web/web", `{"spec":{"tls":[{"secretName":"web-tls"}]}}`)
	add("secret/web/web", `{"data":{}}`)
	add("secret/web/web-tls", `{"data":{}}`)
	workload("daemonset", "kube-system", "kube-network-policies", 0)
	workload("deployment", "kube-system", "skipper-ingress", 2)
	add("pod/kube-system/skipper-ingress-1", `{}`)
	add("storageclass/local-path", `{"provisioner":"rancher.io/local-path"}`)
	for _, n := range nodes() {
		add("node/"+n, `{"spec":{},"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"DiskPressure","status":"False"}]}}`)
	}
	return out
}

func nodes() []string {
	return []string{"cp-1", "cp-2", "cp-3", "worker-1", "worker-2", "worker-3", "worker-4", "worker-5", "db-1", "db-2", "db-3"}
}

// known lists all entities of a lab, those of which Kubernetes has no objects too.
func known(objects incident.Objects) []causal.Entity {
	out := slices.Sorted(maps.Keys(objects))
	for _, n := range nodes() {
		out = append(out, causal.Entity("disk/"+n))
	}
	for _, n := range nodes()[:3] {
		for _, kind := range []string{"etcd/", "apiserver/", "scheduler/", "controller-manager/"} {
			out = append(out, causal.Entity(kind+n))
		}
		out = append(out, causal.Entity("link/"+n+".etcd"), causal.Entity("pod/kube-system/kube-apiserver-"+n))
	}
	return append(out, "users/shop", "users/api", "users/https", "link/control-planes")
}
