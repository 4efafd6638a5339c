package labfile

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader turns YAML nodes into Go values. Whatever does not fit is reported
// and left zero.
type reader struct{ *reporter }

// file reads the top level.
func (r *reader) file(root *yaml.Node) *file {
	f := &file{}
	m := r.mapping(root, "", labFields)
	r.word(m["apiVersion"], "apiVersion", []string{APIVersion})
	r.word(m["kind"], "kind", []string{Kind})
	f.profile = r.word(m["profile"], "profile", Profiles())
	f.timing = Timing(r.word(m["timing"], "timing", timings))
	f.zones = r.zones(m["zones"])
	f.edge = r.whole(m["edge"], "edge", 1, 2)
	f.routers = r.whole(m["routers"], "routers", 1, 2)
	f.replicas = r.whole(m["replicas"], "replicas", 1, MaxReplicas)
	f.controlPlanes = r.quorum(m["controlPlanes"], "controlPlanes")
	members := r.quorum(m["etcdMembers"], "etcdMembers")
	f.workers = r.whole(m["workers"], "workers", 1, MaxNodes-1)
	if m["databases"] != nil {
		n := r.whole(m["databases"], "databases", 0, MaxNodes-2)
		f.databases = &n
	}
	if m["defaults"] != nil {
		d := r.mapping(m["defaults"], "defaults", sizeFields)
		f.defaults.memory, f.defaults.cpus, f.defaults.disk = r.size(d, "defaults")
	}
	f.nodes = r.nodes(m["nodes"])
	switch {
	case members == 0:
	case m["nodes"] != nil:
		if n := controlPlanes(f.nodes); n != members && !r.bad("nodes") {
			r.report("etcdMembers", "found %d with %s in nodes, allowed: the same number, for each control plane holds one etcd member",
				members, plural(n, "control plane"))
		}
	case f.controlPlanes == 0:
		f.controlPlanes = members
	case f.controlPlanes != members:
		r.report("etcdMembers", "found %d with controlPlanes %d, allowed: the same number, for each control plane holds one etcd member",
			members, f.controlPlanes)
	}
	if m["nodes"] != nil {
		for _, count := range []string{"controlPlanes", "workers", "databases"} {
			if m[count] != nil {
				r.report(count, "found together with nodes, allowed: either numbers or a list of nodes")
			}
		}
	}
	return f
}

// zones reads a list of names or a number of zones.
func (r *reader) zones(n *yaml.Node) []string {
	if n == nil {
		return nil
	}
	if resolved := resolve(n); resolved.Kind == yaml.ScalarNode && resolved.Tag == "!!int" {
		return zoneNames(r.whole(n, "zones", 1, MaxZones))
	}
	items, ok := r.list(n, "zones", fmt.Sprintf("a list of 1 to %d names, or a number", MaxZones))
	if !ok {
		return nil
	}
	if len(items) == 0 || len(items) > MaxZones {
		r.report("zones", "found %s, allowed: 1 to %d", plural(len(items), "zone"), MaxZones)
		return nil
	}
	zones := make([]string, len(items))
	for i, item := range items {
		zones[i] = r.text(item, at("zones", i), "a name")
	}
	return zones
}

// nodes reads the list of nodes; it is not nil if there is one.
func (r *reader) nodes(n *yaml.Node) []Node {
	if n == nil {
		return nil
	}
	items, _ := r.list(n, "nodes", "a list of nodes")
	nodes := make([]Node, 0, min(len(items), MaxNodes))
	if len(items) > MaxNodes {
		r.report("nodes", "found %d nodes, allowed: at most %d", len(items), MaxNodes)
		return nodes
	}
	for i, item := range items {
		field := at("nodes", i)
		m := r.mapping(item, field, nodeFields)
		node := Node{
			Name: r.text(m["name"], field+".name", "a name"),
			Role: Role(r.word(m["role"], field+".role", roles)),
			Zone: r.text(m["zone"], field+".zone", "the name of a zone"),
		}
		if m["name"] == nil {
			r.report(field+".name", "not found, a node needs a name")
		}
		node.Memory, node.CPUs, node.Disk = r.size(m, field)
		node.Labels = r.labels(m["labels"], field+".labels")
		node.Taints = r.taints(m["taints"], field+".taints")
		nodes = append(nodes, node)
	}
	return nodes
}

// size reads how big a node is.
func (r *reader) size(m map[string]*yaml.Node, in string) (memory string, cpus int, disk string) {
	memory = r.bytes(m["memory"], in+".memory", minMemory, maxMemory)
	cpus = r.whole(m["cpus"], in+".cpus", 1, MaxCPUs)
	disk = r.bytes(m["disk"], in+".disk", minDisk, maxDisk)
	return memory, cpus, disk
}

func (r *reader) labels(n *yaml.Node, in string) map[string]string {
	if n == nil {
		return nil
	}
	m := r.mapping(n, in, nil)
	if len(m) == 0 {
		return nil
	}
	labels := map[string]string{}
	for key, value := range m {
		labels[key] = r.text(value, fmt.Sprintf("%s[%q]", in, key), "text")
	}
	return labels
}

func (r *reader) taints(n *yaml.Node, in string) []Taint {
	if n == nil {
		return nil
	}
	items, _ := r.list(n, in, "a list of taints")
	var taints []Taint
	for i, item := range items {
		in := at(in, i)
		m := r.mapping(item, in, taintFields)
		taints = append(taints, Taint{
			Key:    r.text(m["key"], in+".key", "a label key"),
			Value:  r.text(m["value"], in+".value", "a label value"),
			Effect: r.word(m["effect"], in+".effect", effects),
		})
		for _, must := range []string{"key", "effect"} {
			if m[must] == nil {
				r.report(in+"."+must, "not found, a taint needs a key and an effect")
			}
		}
	}
	return taints
}

// mapping reads the fields of an object, any keys if fields is nil. Unknown
// and repeated keys are reported.
func (r *reader) mapping(n *yaml.Node, in string, fields []field) map[string]*yaml.Node {
	m := map[string]*yaml.Node{}
	if n == nil {
		return m
	}
	r.mark(in, n)
	resolved := resolve(n)
	if resolved.Kind != yaml.MappingNode {
		want := "text by key"
		if fields != nil {
			want = "fields " + strings.Join(names(fields), ", ")
		}
		r.report(in, "found %s, allowed: %s", found(n), want)
		return m
	}
	known := names(fields)
	for i := 0; i+1 < len(resolved.Content); i += 2 {
		k, v := resolved.Content[i], resolved.Content[i+1]
		key := resolve(k).Value
		path := fmt.Sprintf("%s[%q]", in, key)
		if fields != nil {
			path = strings.TrimPrefix(in+"."+key, ".")
		}
		switch {
		case resolve(k).Kind != yaml.ScalarNode:
			r.mark(path, k)
			r.report(path, "found %s as a key, allowed: text", found(k))
		case fields != nil && about(fields, key) == "":
			r.mark(path, k)
			r.report(path, "no such field, %s", allowed(key, known))
		case m[key] != nil:
			r.mark(path, k)
			r.report(path, "found twice, allowed: once")
		default:
			r.mark(path, v)
			m[key] = v
		}
	}
	return m
}

func (r *reader) list(n *yaml.Node, field, want string) ([]*yaml.Node, bool) {
	r.mark(field, n)
	resolved := resolve(n)
	if resolved.Kind != yaml.SequenceNode {
		r.report(field, "found %s, allowed: %s", found(n), want)
		return nil, false
	}
	for i, item := range resolved.Content {
		r.mark(at(field, i), item)
	}
	return resolved.Content, true
}

// text reads a string. YAML takes unquoted numbers, true and the like for
// something else, so the message says how to write them.
func (r *reader) text(n *yaml.Node, field, want string) string {
	if n == nil {
		return ""
	}
	r.mark(field, n)
	v := resolve(n)
	if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
		r.report(field, "found %s, allowed: %s", found(n), want)
		return ""
	}
	if v.Tag != "!!str" {
		r.report(field, "found %s, allowed: %s; if it is meant as text, quote it: %q", found(n), want, v.Value)
		return ""
	}
	return v.Value
}

// word reads one of a few words.
func (r *reader) word(n *yaml.Node, field string, want []string) string {
	if n == nil {
		return ""
	}
	r.mark(field, n)
	v := resolve(n)
	if v.Kind == yaml.ScalarNode && v.Tag == "!!str" {
		for _, w := range want {
			if v.Value == w {
				return w
			}
		}
		r.report(field, "found %s, %s", found(n), allowed(v.Value, want))
		return ""
	}
	r.report(field, "found %s, %s", found(n), allowed("", want))
	return ""
}

// whole reads a whole number.
func (r *reader) whole(n *yaml.Node, field string, lo, hi int) int {
	i, ok := r.integer(n, field, fmt.Sprintf("a whole number from %d to %d", lo, hi))
	if ok && (i < lo || i > hi) {
		r.report(field, "found %d, allowed: %d to %d", i, lo, hi)
		return 0
	}
	return i
}

// quorum reads how many members etcd has.
func (r *reader) quorum(n *yaml.Node, field string) int {
	i, ok := r.integer(n, field, "1, 3 or 5")
	if !ok || i == 1 || i == 3 || i == 5 {
		return i
	}
	r.report(field, "found %d, allowed: 1, 3 or 5 (etcd goes on as long as a majority lives, so an even number adds nothing)", i)
	return 0
}

func (r *reader) integer(n *yaml.Node, field, want string) (int, bool) {
	if n == nil {
		return 0, false
	}
	r.mark(field, n)
	v := resolve(n)
	if v.Kind == yaml.ScalarNode && v.Tag == "!!int" {
		if i, err := strconv.ParseInt(v.Value, 0, 32); err == nil {
			return int(i), true
		}
	}
	r.report(field, "found %s, allowed: %s", found(n), want)
	return 0, false
}

// bytes reads a quantity of bytes, as text or as a bare number.
func (r *reader) bytes(n *yaml.Node, field string, lo, hi int64) string {
	if n == nil {
		return ""
	}
	r.mark(field, n)
	v := resolve(n)
	if v.Kind == yaml.ScalarNode && (v.Tag == "!!str" || v.Tag == "!!int") {
		if b, err := parseBytes(v.Value); err == nil && b >= lo && b <= hi {
			return v.Value
		}
	}
	r.report(field, "found %s, allowed: %s to %s, such as 2Gi", found(n), amount(lo), amount(hi))
	return ""
}

// mark remembers where a field stands.
func (r *reader) mark(field string, n *yaml.Node) {
	if _, ok := r.places[field]; ok && field != "" && !r.failed[field] {
		if r.places[field] == (place{n.Line, n.Column}) {
			return
		}
	}
	r.places[field] = place{n.Line, n.Column}
}

// resolve follows an alias (*name) to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// found describes a YAML node to the person who wrote it.
func found(n *yaml.Node) string {
	n = resolve(n)
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + short(n.Value)
	case n.Tag == "!!str":
		return strconv.Quote(short(n.Value))
	}
	return short(n.Value)
}

// short keeps a message in one line.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// amount prints bytes in the largest unit that fits.
func amount(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 40, "Ti"}, {1 << 30, "Gi"}, {1 << 20, "Mi"}} {
		if n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
