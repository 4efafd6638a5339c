package defence

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"zdl/internal/jsonpointer"
)

// Field is one place of an object that a defence changes.
type Field struct {
	Path string          `json:"path"`          // JSON pointer, RFC 6901
	Old  json.RawMessage `json:"old,omitempty"` // nil: there was nothing
	New  json.RawMessage `json:"new,omitempty"` // nil: it is removed
}

// String names the place as people do: spec.replicas.
func (f Field) String() string {
	words := strings.Split(strings.TrimPrefix(f.Path, "/"), "/")
	for i, w := range words {
		words[i] = jsonpointer.Unescape(w)
	}
	return strings.Join(words, ".")
}

func (f Field) change() string { return fmt.Sprintf("%s %s, was %s", f, show(f.New), show(f.Old)) }

// show is a value for people.
func show(v json.RawMessage) string {
	switch {
	case v == nil:
		return "absent"
	case len(v) > 120:
		return string(v[:100]) + "…"
	}
	return string(v)
}

// diff lists where two objects differ, as deep in them as can be told: members
// of lists only where both have as many. What the API server writes itself is
// left out. A null counts as nothing, as it does for the API server.
func diff(before, after map[string]any) []Field {
	var out []Field
	for _, key := range keysOf(before, after) {
		switch key {
		case "status", "kind", "apiVersion":
			continue
		case "metadata":
			b, _ := before[key].(map[string]any)
			a, _ := after[key].(map[string]any)
			for _, part := range []string{"labels", "annotations"} {
				differ(&out, "/metadata/"+part, b[part], a[part])
			}
		default:
			differ(&out, "/"+escape(key), before[key], after[key])
		}
	}
	return out
}

func differ(out *[]Field, path string, before, after any) {
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			for _, key := range keysOf(b, a) {
				differ(out, path+"/"+escape(key), b[key], a[key])
			}
			return
		}
	case []any:
		if a, ok := after.([]any); ok && len(a) == len(b) {
			for i := range b {
				differ(out, path+"/"+strconv.Itoa(i), b[i], a[i])
			}
			return
		}
	}
	if f := (Field{path, encode(before), encode(after)}); !same(f.Old, f.New) {
		*out = append(*out, f)
	}
}

func keysOf(a, b map[string]any) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// turn replaces in an object what the fields were by what they become, or with
// undo the other way round. Places that hold neither are left alone and named
// in foreign; changed tells whether anything was to do.
func turn(object map[string]any, fields []Field, undo bool) (changed bool, foreign []string) {
	for _, f := range fields {
		from, to := f.Old, f.New
		if undo {
			from, to = to, from
		}
		now := lookup(object, f.Path)
		switch {
		case same(now, to):
			continue
		case !same(now, from), put(object, f.Path, to) != nil:
			foreign = append(foreign, fmt.Sprintf("%s is %s", f, show(now)))
			continue
		}
		changed = true
	}
	return changed, foreign
}

// lookup finds the value at a JSON pointer as canonical JSON, nil where nothing
// or null is.
func lookup(object map[string]any, path string) json.RawMessage {
	return encode(jsonpointer.Find(object, path))
}

// put sets a place, or removes it when value is nil. Maps around it that are
// missing are made.
func put(object map[string]any, path string, value json.RawMessage) error {
	var decoded any
	if value != nil {
		if err := utiljson.Unmarshal(value, &decoded); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	words := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var at any = object
	for i, word := range words {
		last := i == len(words)-1
		switch v := at.(type) {
		case map[string]any:
			key := jsonpointer.Unescape(word)
			switch {
			case last && value == nil:
				delete(v, key)
			case last:
				v[key] = decoded
			case v[key] == nil:
				if value == nil {
					return nil // nothing to remove
				}
				v[key] = map[string]any{}
			}
			at = v[key]
		case []any:
			n, err := strconv.Atoi(word)
			if err != nil || n < 0 || n >= len(v) {
				return fmt.Errorf("%s: there is no member %s", path, word)
			}
			if last {
				v[n] = decoded
			}
			at = v[n]
		default:
			return fmt.Errorf("%s: %s is in no object and no list", path, word)
		}
	}
	return nil
}

// overlap tells whether two places are the same or one lies in the other.
func overlap(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// encode gives canonical JSON: keys sorted; nil for null.
func encode(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // it came from JSON
	}
	return data
}

func same(a, b json.RawMessage) bool { return string(a) == string(b) }

func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
