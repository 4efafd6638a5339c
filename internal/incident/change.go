package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"zdl/internal/incident/causal"
	"zdl/internal/jsonpointer"
)

// Change is a change of Kubernetes' objects. Its verb says what
// it does.
type Change struct {
	Object causal.Entity // of all but Apply
	Field  string        // of Set and Unset: a JSON pointer
	Value  any           // of Set
	Verb   Verb
	// Manifests of Apply: objects, which replace those of their name.
	Manifests []map[string]any
}

// Verb is what a change does.
type Verb string

// The verbs of changes.
const (
	Set     Verb = "set"
	Unset   Verb = "unset"
	Apply   Verb = "apply"
	Remove  Verb = "remove"
	Restart Verb = "restart" // as kubectl rollout restart
	Restore Verb = "restore" // the object as it was before the injection
)

// restartedAt is what kubectl rollout restart changes.
const restartedAt = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"

// EntityOf names the object of a manifest.
func EntityOf(manifest map[string]any) (causal.Entity, error) {
	kind, _ := manifest["kind"].(string)
	meta, _ := manifest["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	namespace, _ := meta["namespace"].(string)
	text := kind + "/" + name
	if namespace != "" {
		text = kind + "/" + namespace + "/" + name
	}
	return causal.ParseEntity(text)
}

// manifests reads YAML documents, each of which is an object.
func manifests(text string) ([]map[string]any, error) {
	d := yaml.NewDecoder(strings.NewReader(text))
	var out []map[string]any
	for {
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, err
		}
		if m == nil {
			continue
		}
		if m["apiVersion"] == nil {
			return nil, fmt.Errorf("a manifest has no apiVersion")
		}
		if _, err := EntityOf(m); err != nil {
			return nil, fmt.Errorf("a manifest: %w", err)
		}
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no manifest")
	}
	return out, nil
}

// Objects are decoded objects of Kubernetes by their names.
type Objects map[causal.Entity]any

// Do makes a change in objects, which it does not alter: it gives others. It is
// what the API server would do with the same change, as far as this needs it.
// before are the objects as they were before anything was broken, for Restore.
func (c *Change) Do(to, before Objects) (Objects, error) {
	out := Objects{}
	for e, o := range to {
		out[e] = o
	}
	if c.Verb == Apply {
		for _, m := range c.Manifests {
			e, err := EntityOf(m)
			if err != nil {
				return nil, err
			}
			out[e] = merge(out[e], Plain(m))
		}
		return out, nil
	}
	if old, known := before[c.Object]; c.Verb == Restore && known {
		out[c.Object] = old
		return out, nil
	}
	o, there := out[c.Object]
	if !there || c.Verb == Restore {
		return nil, fmt.Errorf("%s: there is no %s", c.Verb, c.Object)
	}
	var err error
	switch c.Verb {
	case Remove:
		delete(out, c.Object)
	case Set:
		out[c.Object], err = put(o, c.Field, Plain(c.Value))
	case Unset:
		out[c.Object], err = put(o, c.Field, nil)
	case Restart:
		out[c.Object], err = put(o, restartedAt, "now")
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", c.Verb, c.Object, err)
	}
	return out, nil
}

// Plain makes of YAML what JSON would give.
func Plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	return out
}

// merge lays a document over another: fields of objects one by one, all else as a
// whole.
func merge(old, over any) any {
	a, isA := old.(map[string]any)
	b, isB := over.(map[string]any)
	if !isA || !isB {
		return over
	}
	out := map[string]any{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = merge(a[k], v)
	}
	return out
}

// put gives a document with another value at a place; nil takes it away.
func put(doc any, pointer string, value any) (any, error) {
	word, rest, more := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	if more {
		rest = "/" + rest
	}
	switch d := doc.(type) {
	case []any:
		i, err := strconv.Atoi(word)
		if word == "-" {
			i, err = len(d), nil
		}
		if err != nil || i < 0 || i > len(d) || i == len(d) && value == nil {
			return nil, fmt.Errorf("%s leads to no item of a list of %d", pointer, len(d))
		}
		out := append([]any{}, d...)
		switch {
		case i == len(d):
			return append(out, value), nil
		case !more && value == nil:
			return append(out[:i], out[i+1:]...), nil
		case !more:
			out[i] = value
			return out, nil
		}
		out[i], err = put(d[i], rest, value)
		return out, err
	case map[string]any, nil:
		old, _ := d.(map[string]any)
		out := map[string]any{}
		for k, v := range old {
			out[k] = v
		}
		key := jsonpointer.Unescape(word)
		switch {
		case !more && value == nil:
			delete(out, key)
		case !more:
			out[key] = value
		default:
			inner, err := put(out[key], rest, value)
			if err != nil {
				return nil, err
			}
			out[key] = inner
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s leads through a single value", pointer)
}
