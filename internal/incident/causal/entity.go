// Package causal holds the words in which an incident is told: entities, the
// states they may be in, and the graph that leads from a root cause over
// mechanisms to what users feel. It is pure.
package causal

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Entity names one thing of the lab: KIND/NAME, or KIND/NAMESPACE/NAME for what
// Kubernetes keeps in namespaces. The kind is written in full and in lower case.
type Entity string

// kinds are those that an entity may have; the value tells whether it is in a
// namespace.
var kinds = map[string]bool{
	"pod": true, "deployment": true, "statefulset": true, "daemonset": true, "replicaset": true, "job": true, "cronjob": true,
	"service": true, "ingress": true, "configmap": true, "secret": true, "serviceaccount": true, "networkpolicy": true,
	"poddisruptionbudget": true, "horizontalpodautoscaler": true, "persistentvolumeclaim": true, "resourcequota": true, "limitrange": true,

	"node": false, "namespace": false, "persistentvolume": false, "storageclass": false,
	"validatingwebhookconfiguration": false, "mutatingwebhookconfiguration": false,
	"machine": false, "zone": false, "disk": false, "link": false, "etcd": false, "apiserver": false, "scheduler": false, "controller-manager": false,
	"users": false,
}

// short are other ways to write a kind, kubectl's among them.
var short = map[string]string{
	"po": "pod", "deploy": "deployment", "sts": "statefulset", "ds": "daemonset", "rs": "replicaset", "cj": "cronjob", "svc": "service", "ing": "ingress",
	"cm": "configmap", "sa": "serviceaccount", "netpol": "networkpolicy", "pdb": "poddisruptionbudget", "hpa": "horizontalpodautoscaler",
	"pvc": "persistentvolumeclaim", "quota": "resourcequota", "limits": "limitrange", "no": "node", "ns": "namespace", "pv": "persistentvolume",
	"sc": "storageclass", "kube-apiserver": "apiserver", "kube-scheduler": "scheduler", "kube-controller-manager": "controller-manager",
}

// Kinds lists the kinds of entities in the order of the alphabet.
func Kinds() []string {
	var out []string
	for k := range kinds {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// maxEntity bounds an entity, in bytes: three names of Kubernetes' longest kind.
const maxEntity = 3 * 253

// name is what Kubernetes allows for most objects (RFC 1123), with the colons of
// system objects; in a pattern an asterisk may end or interrupt it.
var (
	name    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$`)
	pattern = regexp.MustCompile(`^[-a-z0-9.:*]+$`)
)

// ParseEntity reads an entity as people write it: deploy/shop/cart,
// deployments/shop/cart, Node/worker-1.
func ParseEntity(text string) (Entity, error) { return parse(text, name) }

// ParsePattern reads an entity in whose names * stands for any text without a
// slash.
func ParsePattern(text string) (Entity, error) { return parse(text, pattern) }

func parse(text string, allowed *regexp.Regexp) (Entity, error) {
	if len(text) > maxEntity {
		return "", fmt.Errorf("an entity has at most %d characters, this one %d", maxEntity, len(text))
	}
	words := strings.Split(text, "/")
	kind := strings.ToLower(words[0])
	if full, is := short[kind]; is {
		kind = full
	}
	inside, known := kinds[kind]
	if one, is := short[strings.TrimSuffix(kind, "s")]; !known && is {
		kind = one
		inside, known = kinds[kind]
	}
	for _, plural := range []string{"s", "es"} { // deployments, ingresses; policies are not worth a rule
		if one, cut := strings.CutSuffix(kind, plural); !known && cut {
			if inside, known = kinds[one]; known {
				kind = one
			}
		}
	}
	want := 2
	if inside {
		want = 3
	}
	switch {
	case !known:
		return "", fmt.Errorf("%q: there is no kind %q; there are %s", text, words[0], strings.Join(Kinds(), ", "))
	case len(words) != want && inside:
		return "", fmt.Errorf("%q: want %s/NAMESPACE/NAME", text, kind)
	case len(words) != want:
		return "", fmt.Errorf("%q: want %s/NAME", text, kind)
	}
	for _, w := range words[1:] {
		if !allowed.MatchString(w) {
			return "", fmt.Errorf("%q: %q is no name: want lower-case letters, digits, - and .", text, w)
		}
	}
	words[0] = kind
	return Entity(strings.Join(words, "/")), nil
}

// Kind is the first word.
func (e Entity) Kind() string {
	kind, _, _ := strings.Cut(string(e), "/")
	return kind
}

// Name is the last word.
func (e Entity) Name() string { return string(e)[strings.LastIndexByte(string(e), '/')+1:] }

// Namespace is that of the entity, "" where it is in none.
func (e Entity) Namespace() string {
	words := strings.Split(string(e), "/")
	if len(words) != 3 {
		return ""
	}
	return words[1]
}

// IsPattern tells whether it stands for several.
func (e Entity) IsPattern() bool { return strings.Contains(string(e), "*") }

// Matches tells whether a pattern, or the same entity, stands for another one.
func (e Entity) Matches(other Entity) bool {
	if !e.IsPattern() {
		return e == other
	}
	a, b := strings.Split(string(e), "/"), strings.Split(string(other), "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !glob(a[i], b[i]) {
			return false
		}
	}
	return true
}

// glob matches a text with a pattern of texts with asterisks between them.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, last)
}
