package labfile

import (
	"encoding/json"
	"fmt"
)

// The limits of a lab. A zone is one /24 with room for its nodes and the
// whole lab has one pod range for each node; 50 nodes is also where
// Kubernetes' own eviction rules change (large-cluster-size-threshold).
const (
	MaxNodes    = 50
	MaxZones    = 5
	MaxReplicas = 9
	MaxCPUs     = 64
	// MaxName is the longest name of a node or zone, in characters.
	MaxName = 40

	minMemory             int64 = 512 << 20
	minControlPlaneMemory int64 = 1 << 30
	maxMemory             int64 = 1 << 40
	minDisk               int64 = 1 << 30
	maxDisk               int64 = 1 << 40
)

// field is one field of the format: the parser knows it, the schema describes
// it and the printed file explains it.
type field struct {
	name   string
	about  string         // one line
	schema map[string]any // JSON Schema, without the description
}

type object = map[string]any

var (
	nameSchema = object{"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": MaxName}
	sizeSchema = object{"type": []string{"string", "integer"}, "examples": []string{"2Gi", "512Mi"}}
	cpusSchema = object{"type": "integer", "minimum": 1, "maximum": MaxCPUs}
	effects    = []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}
	timings    = Timings()
	roles      = []string{string(ControlPlane), string(Worker)}
	quorums    = []int{1, 3, 5}
)

// labFields are the fields of a lab file, in the order in which it is printed.
// A file says who the nodes are either in numbers (controlPlanes or
// etcdMembers, workers, databases), starting from a profile, or one by one
// (nodes).
var labFields = []field{
	{"apiVersion", "version of this format, always " + APIVersion, object{"const": APIVersion}},
	{"kind", "always " + Kind, object{"const": Kind}},
	{"profile", "built-in lab to start from; everything else in the file changes it (default " + DefaultProfile + ")",
		object{"enum": Profiles()}},
	{"timing", "failure clock of Kubernetes: realistic keeps its defaults, fast shortens leases and grace periods, patient lengthens them for machines that are many times slower, such as emulated ones",
		object{"enum": timings}},
	{"zones", fmt.Sprintf("failure domains, 1 to %d, each a switch and a subnet: their names, or how many", MaxZones),
		object{"oneOf": []any{
			object{"type": "array", "items": nameSchema, "minItems": 1, "maxItems": MaxZones, "uniqueItems": true},
			object{"type": "integer", "minimum": 1, "maximum": MaxZones},
		}}},
	{"edge", "load balancer machines in front of everything: 1, or 2 that share their virtual IPs",
		object{"type": "integer", "minimum": 1, "maximum": 2}},
	{"routers", "routers between the zones: 1, or 2 that share the gateways",
		object{"type": "integer", "minimum": 1, "maximum": 2}},
	{"replicas", fmt.Sprintf("pods of the target service, 1 to %d", MaxReplicas),
		object{"type": "integer", "minimum": 1, "maximum": MaxReplicas}},
	{"controlPlanes", "how many control-plane nodes: 1, 3 or 5, each with one etcd member; not together with nodes",
		object{"enum": quorums}},
	{"etcdMembers", "how many etcd members: 1, 3 or 5; the same number as controlPlanes, said the other way round",
		object{"enum": quorums}},
	{"workers", fmt.Sprintf("how many workers, 1 to %d; not together with nodes", MaxNodes-1),
		object{"type": "integer", "minimum": 1, "maximum": MaxNodes - 1}},
	{"databases", fmt.Sprintf("how many workers only for databases (labelled and tainted dedicated=database), 0 to %d; not together with nodes", MaxNodes-2),
		object{"type": "integer", "minimum": 0, "maximum": MaxNodes - 2}},
	{"defaults", "size of every node that does not say its own",
		objectSchema(sizeFields)},
	{"nodes", fmt.Sprintf("the Kubernetes nodes one by one, at most %d", MaxNodes),
		object{"type": "array", "minItems": 2, "maxItems": MaxNodes, "items": objectSchema(nodeFields, "name")}},
}

// sizeFields are how big a node is.
var sizeFields = []field{
	{"memory", "limit of the whole machine in bytes with a unit (Ki Mi Gi), 512Mi to 1Ti, control planes from 1Gi", sizeSchema},
	{"cpus", fmt.Sprintf("limit of the whole machine in CPUs, 1 to %d", MaxCPUs), cpusSchema},
	{"disk", "size of the machine's disk in bytes with a unit (Mi Gi), 1Gi to 1Ti; takes space on the host only as it fills", sizeSchema},
}

// nodeFields are the fields of one entry of nodes.
var nodeFields = append([]field{
	{"name", fmt.Sprintf("letters a to z, digits and dashes, at most %d characters", MaxName), nameSchema},
	{"role", "control-plane or worker (default worker)", object{"enum": roles}},
	{"zone", "one of zones (default: the one with the fewest nodes of this role)", nameSchema},
}, append(append([]field(nil), sizeFields...),
	field{"labels", "Kubernetes labels", object{"type": "object", "additionalProperties": object{"type": "string", "maxLength": 63}}},
	field{"taints", "Kubernetes taints", object{"type": "array", "items": objectSchema(taintFields, "key", "effect")}},
)...)

// taintFields are the fields of one taint.
var taintFields = []field{
	{"key", "a label key", object{"type": "string", "minLength": 1}},
	{"value", "a label value", object{"type": "string", "maxLength": 63}},
	{"effect", "NoSchedule, PreferNoSchedule or NoExecute", object{"enum": effects}},
}

func objectSchema(fields []field, required ...string) object {
	properties := object{}
	for _, f := range fields {
		p := object{"description": f.about}
		for k, v := range f.schema {
			p[k] = v
		}
		properties[f.name] = p
	}
	s := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// Schema is the format as a JSON Schema (draft 2020-12), for editors and other
// tools. What no schema can say (unique names, zones that exist, sizes in
// range) only Parse checks.
func Schema() []byte {
	s := objectSchema(labFields)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Zero Downtime Lab: a lab file"
	s["not"] = object{"required": []string{"nodes"}, "anyOf": []any{
		object{"required": []string{"controlPlanes"}},
		object{"required": []string{"workers"}},
		object{"required": []string{"databases"}},
	}}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // a literal of this file that JSON cannot express
	}
	return append(out, '\n')
}

// about is the explanation of a field.
func about(fields []field, name string) string {
	for _, f := range fields {
		if f.name == name {
			return f.about
		}
	}
	return ""
}

func names(fields []field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.name)
	}
	return out
}
