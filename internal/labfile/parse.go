package labfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the largest lab file that Parse reads, in bytes.
const MaxFile = 1 << 20

// Parse reads a lab file, fills in every default and validates the result.
// filename is only used in messages. The error is of type Errors and holds
// every mistake with its place, its field, what was found and what is allowed.
//
// All fields are optional. The shortest useful files:
//
//	profile: small            # a profile, changed by what follows
//	timing: fast
//
//	zones: [north, south, west]
//	controlPlanes: 5
//	workers: 6
//
//	nodes:                    # or every node by name
//	- {name: cp-1, role: control-plane}
//	- {name: big, memory: 8Gi, cpus: 4}
//	- {name: db-1, taints: [{key: dedicated, value: database, effect: NoSchedule}]}
func Parse(data []byte, filename string) (*Lab, error) {
	r := newReporter(filename)
	root := document(r, data)
	if root == nil {
		return nil, r.err()
	}
	f := (&reader{r}).file(root)
	lab := f.lab(r)
	check(lab, r)
	if err := r.err(); err != nil {
		return nil, err
	}
	return lab, nil
}

// document reads the one YAML document of the file, nil after a report.
func document(r *reporter, data []byte) *yaml.Node {
	r.places[""] = place{1, 1}
	if len(data) > MaxFile {
		r.report("", "found %d bytes, allowed: at most %d", len(data), MaxFile)
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		r.report("", "found nothing; the shortest lab file is one line: profile: %s", DefaultProfile)
		return nil
	} else if err != nil {
		syntax(r, err)
		return nil
	}
	var second yaml.Node
	if err := d.Decode(&second); err == nil {
		r.places[""] = place{second.Line, max(second.Column, 1)}
		r.report("", "found a second document, allowed: one lab in one file")
		return nil
	} else if !errors.Is(err, io.EOF) {
		syntax(r, err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.report("", "found no YAML document")
		return nil
	}
	return doc.Content[0]
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports an error of the YAML scanner, which names the line only.
func syntax(r *reporter, err error) {
	message, line := err.Error(), 1
	if m := syntaxLine.FindStringSubmatch(strings.ReplaceAll(message, "\n", " ")); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			line = n
		}
	}
	r.places[""] = place{line, 1}
	r.report("", "not valid YAML: %s", message)
}

// file is a lab file as it was written: what it does not say is zero.
type file struct {
	profile                 string
	timing                  Timing
	zones                   []string
	edge, routers, replicas int
	controlPlanes, workers  int
	databases               *int // 0 is something to say
	defaults                size
	nodes                   []Node
}

// lab fills in what the file leaves open.
func (f *file) lab(r *reporter) *Lab {
	profile := f.profile
	if profile == "" {
		profile = DefaultProfile
	}
	p, _ := profilePlan(profile)
	override(&p.timing, f.timing)
	override(&p.edge, f.edge)
	override(&p.routers, f.routers)
	override(&p.replicas, f.replicas)
	override(&p.controlPlanes, f.controlPlanes)
	override(&p.workers, f.workers)
	if f.databases != nil {
		p.databases = *f.databases
	}
	if len(f.zones) > 0 {
		p.zones = f.zones
	}
	if f.nodes == nil {
		l := p.lab()
		for i := range l.Nodes {
			n := &l.Nodes[i]
			override(&n.Memory, f.defaults.memory)
			override(&n.CPUs, f.defaults.cpus)
			override(&n.Disk, f.defaults.disk)
		}
		return l
	}
	l := &Lab{APIVersion: APIVersion, Kind: Kind, Timing: p.timing, Zones: p.zones,
		Edge: p.edge, Routers: p.routers, Replicas: p.replicas, Nodes: f.nodes}
	if len(f.zones) == 0 && !r.bad("zones") && f.profile == "" {
		if z := zonesOf(f.nodes); len(z) > 0 {
			l.Zones = z
		}
	}
	fill(l, f.defaults)
	return l
}

// zonesOf lists the zones that nodes name, in order of appearance.
func zonesOf(nodes []Node) []string {
	var zones []string
	seen := map[string]bool{"": true}
	for _, n := range nodes {
		if !seen[n.Zone] {
			seen[n.Zone] = true
			zones = append(zones, n.Zone)
		}
	}
	return zones
}

// fill gives listed nodes their role, size and zone where they have none.
func fill(l *Lab, defaults size) {
	placed := map[Role]map[string]int{ControlPlane: {}, Worker: {}}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		fallback(&n.Role, Worker)
		fallback(&n.Memory, defaults.memory)
		fallback(&n.Memory, nodeSize.memory)
		fallback(&n.CPUs, defaults.cpus)
		fallback(&n.CPUs, nodeSize.cpus)
		fallback(&n.Disk, defaults.disk)
		fallback(&n.Disk, nodeSize.disk)
		if n.Zone != "" {
			placed[n.Role][n.Zone]++
		}
	}
	for i := range l.Nodes {
		n := &l.Nodes[i]
		if n.Zone != "" || len(l.Zones) == 0 {
			continue
		}
		n.Zone = l.Zones[0]
		for _, z := range l.Zones[1:] {
			if placed[n.Role][z] < placed[n.Role][n.Zone] {
				n.Zone = z
			}
		}
		placed[n.Role][n.Zone]++
	}
}

// override sets a value to another one that is not zero.
func override[T comparable](v *T, with T) {
	var zero T
	if with != zero {
		*v = with
	}
}

// fallback sets a value that is zero.
func fallback[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// at names an entry of a list: nodes[2].
func at(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
