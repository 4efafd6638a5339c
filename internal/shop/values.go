package shop

import (
	"fmt"
	"slices"
	"strings"

	"zdl/internal/artifact"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// Services and Stores of the shop, by the names of their workloads.
var (
	Services = artifact.ShopServices
	Stores   = []string{"documents", "redis", "mariadb", "rabbitmq", "orders"}
)

// storeImages are the short names of the images that stores are made from.
var storeImages = map[string]string{"documents": "ferretdb", "redis": "redis", "mariadb": "mariadb", "rabbitmq": "rabbitmq", "orders": "postgres"}

// Missing says which images a set lacks for a shop, "" if none.
func Missing(set *artifact.Set) string {
	var names []string
	for _, s := range Services {
		names = append(names, artifact.ShopImage(s))
	}
	for _, s := range Stores {
		names = append(names, storeImages[s])
	}
	var lacks []string
	for _, name := range names {
		if set.Images[name] != "" {
			continue
		}
		if why := set.Without[name]; why != "" {
			return fmt.Sprintf("the image %s was left out when its programs and images were built: %s", name, why)
		}
		lacks = append(lacks, name)
	}
	if len(lacks) == 0 {
		return ""
	}
	return fmt.Sprintf("its programs and images were built without %s; a lab that is made after zdl build has them", strings.Join(lacks, ", "))
}

// LabValues are the chart's values that fit a lab: its images, and as much of
// everything as it has nodes for.
func LabValues(lab *labfile.Lab, t *topology.Topology, set *artifact.Set) map[string]any {
	stores := map[string]any{}
	for store, image := range storeImages {
		stores[store] = map[string]any{"image": set.Images[image]}
	}
	reserved, open, members := 0, map[string]int{}, 0
	workers := 0
	for _, m := range t.Of(topology.KindWorker) {
		switch {
		case m.Node.Labels[labfile.DatabaseTaint.Key] == labfile.DatabaseTaint.Value:
			reserved++
		case !slices.ContainsFunc(m.Node.Taints, func(x labfile.Taint) bool { return x.Effect != "PreferNoSchedule" }):
			workers++
			open[m.Zone]++
		}
	}
	members = reserved
	if reserved == 0 { // then they share the workers with the services
		members = workers
		stores["nodeSelector"], stores["tolerations"] = nil, []any{}
	}
	stores["orders"].(map[string]any)["members"] = max(1, min(3, members))

	spread := "DoNotSchedule"
	if !even(open) {
		spread = "ScheduleAnyway" // a small zone would keep a large one empty
	}
	out := map[string]any{
		"image":     map[string]any{"registry": artifact.Registry, "tag": set.Versions["shop"]},
		"defaults":  map[string]any{"minReplicas": max(1, min(2, workers)), "maxReplicas": max(1, min(5, workers))},
		"spread":    map[string]any{"whenUnsatisfiable": spread},
		"apiServer": map[string]any{"host": topology.APIVIP.String(), "port": fmt.Sprint(topology.APIPort)},
		"stores":    stores,
	}
	if lab.Timing == labfile.Fast {
		out["tolerationSeconds"] = 5
	}
	return out
}

// even tells whether no zone has two workers more than another.
func even(zones map[string]int) bool {
	least, most := 0, 0
	for _, n := range zones {
		if least == 0 || n < least {
			least = n
		}
		most = max(most, n)
	}
	return most-least <= 1
}
