package labfile

import (
	"fmt"
	"regexp"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Validate checks a lab that did not come from Parse or Profile. The error is
// of type Errors.
func (l *Lab) Validate() error {
	r := newReporter("")
	if l.APIVersion != APIVersion {
		r.report("apiVersion", "found %q, %s", l.APIVersion, allowed(l.APIVersion, []string{APIVersion}))
	}
	if l.Kind != Kind {
		r.report("kind", "found %q, %s", l.Kind, allowed(l.Kind, []string{Kind}))
	}
	oneOf(r, "timing", string(l.Timing), timings)
	within(r, "edge", l.Edge, 1, 2)
	within(r, "routers", l.Routers, 1, 2)
	within(r, "replicas", l.Replicas, 1, MaxReplicas)
	within(r, "zones", len(l.Zones), 1, MaxZones)
	for i := range l.Nodes {
		n, in := &l.Nodes[i], at("nodes", i)
		oneOf(r, in+".role", string(n.Role), roles)
		within(r, in+".cpus", n.CPUs, 1, MaxCPUs)
		inBytes(r, in+".memory", n.Memory, minMemory, maxMemory)
		inBytes(r, in+".disk", n.Disk, minDisk, maxDisk)
		for j, t := range n.Taints {
			oneOf(r, at(in+".taints", j)+".effect", t.Effect, effects)
		}
	}
	check(l, r)
	return r.err()
}

// check is what fields must be to each other and to Kubernetes.
func check(l *Lab, r *reporter) {
	zones := map[string]int{}
	for i, z := range l.Zones {
		field := at("zones", i)
		checkName(r, field, z)
		if first, ok := zones[z]; ok {
			r.report(field, "found %q twice, allowed: unique names (the other one is zones[%d])", z, first)
		}
		zones[z] = i
		if z == "edge" || z == "outside" {
			r.report(field, "found %q, which the lab itself uses for a network, allowed: any other name", z)
		}
	}
	nodes := map[string]int{}
	for i := range l.Nodes {
		n, in := &l.Nodes[i], at("nodes", i)
		checkName(r, in+".name", n.Name)
		if first, ok := nodes[n.Name]; ok {
			r.report(in+".name", "found %q twice, allowed: unique names (the other one is nodes[%d])", n.Name, first)
		}
		nodes[n.Name] = i
		if reservedName.MatchString(n.Name) {
			r.report(in+".name", "found %q, which is a machine of the lab itself, allowed: anything but router-N, lb-N, edge and outside", n.Name)
		}
		if _, ok := zones[n.Zone]; !ok && !r.badBelow("zones") {
			r.report(in+".zone", "found %q, %s", n.Zone, allowed(n.Zone, l.Zones))
		}
		if n.Role == ControlPlane && n.MemoryBytes() < minControlPlaneMemory {
			r.report(in+".memory", "found %q, allowed for a control plane: %s or more, for it holds etcd and an API server", n.Memory, amount(minControlPlaneMemory))
		}
		checkLabels(r, in+".labels", n.Labels)
		checkTaints(r, in+".taints", n.Taints)
	}
	checkCounts(l, r)
}

// reservedName matches the machines that every lab has besides its nodes.
var reservedName = regexp.MustCompile(`^(router-[0-9]+|lb-[0-9]+|edge|outside|localhost)$`)

func checkName(r *reporter, field, name string) {
	if len(name) > MaxName || len(validation.IsDNS1123Label(name)) > 0 {
		r.report(field, "found %q, allowed: 1 to %d letters a-z, digits and dashes, the first and last not a dash", short(name), MaxName)
	}
}

// checkCounts looks at the nodes as a whole.
func checkCounts(l *Lab, r *reporter) {
	field := "nodes"
	if _, listed := r.places["nodes"]; !listed && r.file != "" {
		field = "workers" // the nodes were given in numbers
	}
	if r.bad("nodes") {
		return
	}
	if len(l.Nodes) > MaxNodes {
		r.report(field, "found %d nodes in all, allowed: at most %d", len(l.Nodes), MaxNodes)
		return
	}
	if r.badBelow("nodes") {
		return // roles and taints are not what they were meant to be
	}
	if n := controlPlanes(l.Nodes); n != 1 && n != 3 && n != 5 {
		r.report(field, "found %s, allowed: 1, 3 or 5, for each holds an etcd member and etcd goes on as long as a majority lives", plural(n, "control plane"))
		return
	}
	for _, n := range l.Nodes {
		if n.Role == Worker && !repels(n.Taints) {
			return
		}
	}
	r.report(field, "found no worker without a NoSchedule or NoExecute taint, allowed: at least one, for DNS, ingress and the service run there")
}

// controlPlanes counts them, and with them the etcd members.
func controlPlanes(nodes []Node) int {
	c := 0
	for _, n := range nodes {
		if n.Role == ControlPlane {
			c++
		}
	}
	return c
}

// repels tells whether ordinary pods stay away from a node.
func repels(taints []Taint) bool {
	for _, t := range taints {
		if t.Effect != "PreferNoSchedule" {
			return true
		}
	}
	return false
}

// checkLabels also refuses what the lab sets itself and what a kubelet may
// not set (isKubernetesLabel in k8s.io/kubernetes cmd/kubelet/app/options).
func checkLabels(r *reporter, in string, labels map[string]string) {
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		field := fmt.Sprintf("%s[%q]", in, k)
		if errs := validation.IsQualifiedName(k); len(errs) > 0 {
			r.report(field, "found a key that Kubernetes refuses: %s", brief(errs))
			continue
		}
		domain, _, qualified := strings.Cut(k, "/")
		if qualified && below(domain, "kubernetes.io", "k8s.io") && !below(domain, "node.kubernetes.io", "kubelet.kubernetes.io") {
			r.report(field, "found a label that Kubernetes or the lab sets itself, allowed: your own keys, or below node.kubernetes.io/")
			continue
		}
		if errs := validation.IsValidLabelValue(labels[k]); len(errs) > 0 {
			r.report(field, "found a value that Kubernetes refuses: %s", brief(errs))
		}
	}
}

func checkTaints(r *reporter, in string, taints []Taint) {
	type id struct{ key, effect string }
	seen := map[id]int{}
	for i, t := range taints {
		field := at(in, i)
		if errs := validation.IsQualifiedName(t.Key); len(errs) > 0 {
			r.report(field+".key", "found %q, which Kubernetes refuses: %s", short(t.Key), brief(errs))
		}
		if errs := validation.IsValidLabelValue(t.Value); len(errs) > 0 {
			r.report(field+".value", "found %q, which Kubernetes refuses: %s", short(t.Value), brief(errs))
		}
		k := id{t.Key, t.Effect}
		if first, ok := seen[k]; ok && !r.badBelow(field) {
			r.report(field, "found the taint %s:%s twice, allowed: one value for key and effect (the other one is taints[%d])", t.Key, t.Effect, first)
		}
		seen[k] = i
	}
}

// brief is the first complaint of a Kubernetes validation without its examples.
func brief(errs []string) string {
	s, _, _ := strings.Cut(errs[0], " (e.g.")
	return s
}

// below tells whether a domain is one of some or lies below one.
func below(domain string, of ...string) bool {
	for _, o := range of {
		if domain == o || strings.HasSuffix(domain, "."+o) {
			return true
		}
	}
	return false
}

// badBelow tells whether the field, one it lies in or one that lies in it has
// been reported.
func (r *reporter) badBelow(field string) bool {
	if r.bad(field) {
		return true
	}
	for f := range r.failed {
		if strings.HasPrefix(f, field+".") || strings.HasPrefix(f, field+"[") {
			return true
		}
	}
	return false
}

func oneOf(r *reporter, field, got string, want []string) {
	for _, w := range want {
		if got == w {
			return
		}
	}
	r.report(field, "found %q, %s", got, allowed(got, want))
}

func within(r *reporter, field string, got, lo, hi int) {
	if got < lo || got > hi {
		r.report(field, "found %d, allowed: %d to %d", got, lo, hi)
	}
}

func inBytes(r *reporter, field, got string, lo, hi int64) {
	if b, err := parseBytes(got); err != nil || b < lo || b > hi {
		r.report(field, "found %q, allowed: %s to %s, such as 2Gi", got, amount(lo), amount(hi))
	}
}
