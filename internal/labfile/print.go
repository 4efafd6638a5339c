package labfile

import (
	"bytes"
	"fmt"
	"sort"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Print writes a lab as a complete file: every field, every node, each with
// what it means. Parse reads it back to the same lab.
func Print(l *Lab) []byte {
	root := &yaml.Node{Kind: yaml.MappingNode}
	root.HeadComment = "A lab, complete: this is what `zdl up -f` boots."
	add(root, "apiVersion", text(l.APIVersion), "")
	add(root, "kind", text(l.Kind), "")
	add(root, "timing", text(string(l.Timing)), about(labFields, "timing"))
	zones := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, z := range l.Zones {
		zones.Content = append(zones.Content, text(z))
	}
	add(root, "zones", zones, about(labFields, "zones"))
	add(root, "edge", number(l.Edge), about(labFields, "edge"))
	add(root, "routers", number(l.Routers), about(labFields, "routers"))
	add(root, "replicas", number(l.Replicas), about(labFields, "replicas"))
	add(root, "nodes", nodeList(l.Nodes), nodesComment())

	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		panic(err) // the tree above is always valid YAML
	}
	e.Close()
	return b.Bytes()
}

// nodesComment explains the fields of a node once, before the first.
func nodesComment() string {
	s := about(labFields, "nodes")
	for _, f := range nodeFields {
		s += fmt.Sprintf("\n  %-7s %s", f.name, f.about)
	}
	return s
}

func nodeList(nodes []Node) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, n := range nodes {
		m := &yaml.Node{Kind: yaml.MappingNode}
		add(m, "name", text(n.Name), "")
		add(m, "role", text(string(n.Role)), "")
		add(m, "zone", text(n.Zone), "")
		add(m, "memory", text(n.Memory), "")
		add(m, "cpus", number(n.CPUs), "")
		add(m, "disk", text(n.Disk), "")
		if len(n.Labels) > 0 {
			labels := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
			keys := make([]string, 0, len(n.Labels))
			for k := range n.Labels {
				keys = append(keys, k)
			}
			sort.Strings(keys)
			for _, k := range keys {
				labels.Content = append(labels.Content, text(k), text(n.Labels[k]))
			}
			add(m, "labels", labels, "")
		}
		if len(n.Taints) > 0 {
			taints := &yaml.Node{Kind: yaml.SequenceNode}
			for _, t := range n.Taints {
				taint := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
				add(taint, "key", text(t.Key), "")
				if t.Value != "" {
					add(taint, "value", text(t.Value), "")
				}
				add(taint, "effect", text(t.Effect), "")
				taints.Content = append(taints.Content, taint)
			}
			add(m, "taints", taints, "")
		}
		list.Content = append(list.Content, m)
	}
	return list
}

func add(m *yaml.Node, key string, value *yaml.Node, comment string) {
	k := text(key)
	k.HeadComment = comment
	m.Content = append(m.Content, k, value)
}

// text is a string, quoted where YAML would take it for something else.
func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func number(i int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(i)}
}
