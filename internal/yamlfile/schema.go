package yamlfile

import (
	"encoding/json"
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Node is a part of a JSON Schema (2020-12).
type Node = map[string]any

// Describer is a type that says itself how it is written.
type Describer interface{ JSONSchema() Node }

// Schema is the JSON Schema of the files that Decode reads into a struct: made
// of its types, its yaml tags, and of the tags doc (a sentence), need (it must be
// there) and schema (more of the schema, as JSON). It refuses unknown fields, as Decode does.
func Schema(title, id, kind string, of any) Node {
	n := schemaOf(reflect.TypeOf(of), "")
	n["$schema"], n["$id"], n["title"] = "https://json-schema.org/draft/2020-12/schema", id, title
	properties := n["properties"].(Node)
	properties["apiVersion"], properties["kind"] = Node{"const": APIVersion}, Node{"const": kind}
	n["required"] = append([]any{"apiVersion", "kind"}, required(n)...)
	return n
}

func required(n Node) []any { r, _ := n["required"].([]any); return r }

var describer = reflect.TypeFor[Describer]()

func schemaOf(t reflect.Type, more string) Node {
	n := Node{}
	switch {
	case t.Kind() == reflect.Pointer:
		return schemaOf(t.Elem(), more)
	case t.Implements(describer):
		n = reflect.Zero(t).Interface().(Describer).JSONSchema()
	case t == reflect.TypeFor[yaml.Node]():
		n["type"] = "object"
	default:
		switch t.Kind() {
		case reflect.String:
			n["type"] = "string"
		case reflect.Bool:
			n["type"] = "boolean"
		case reflect.Int, reflect.Int64, reflect.Uint64:
			n["type"] = "integer"
		case reflect.Float64:
			n["type"] = "number"
		case reflect.Slice:
			n["type"], n["items"] = "array", schemaOf(t.Elem(), "")
		case reflect.Map:
			n["type"], n["additionalProperties"] = "object", schemaOf(t.Elem(), "")
		case reflect.Struct:
			n = object(t)
		}
	}
	if more != "" {
		var add Node
		if err := json.Unmarshal([]byte(more), &add); err != nil {
			panic("schema tag " + more + ": " + err.Error()) // a mistake in this program
		}
		for k, v := range add {
			n[k] = v
		}
	}
	return n
}

func object(t reflect.Type) Node {
	properties := Node{}
	var required []any
	for i := range t.NumField() {
		f := t.Field(i)
		name := fieldName(f)
		if name == "" {
			continue
		}
		p := schemaOf(f.Type, f.Tag.Get("schema"))
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		if f.Tag.Get("need") != "" {
			required = append(required, name)
		}
		properties[name] = p
	}
	n := Node{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		n["required"] = required
	}
	return n
}

// JSONSchema of a duration.
func (Span) JSONSchema() Node {
	return Node{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`, "examples": []any{"500ms", "30s", "1m30s"}}
}

// Conforms says where a value, as JSON or YAML give it, does not keep to a schema
// that Schema made; "" where it does. It knows the keywords that Schema uses, and
// reports others.
func Conforms(schema Node, v any, at string) string {
	for keyword, want := range schema {
		bad := ""
		switch keyword {
		case "$schema", "$id", "title", "description", "examples":
		case "type":
			bad = typed(want, v, at)
		case "const":
			if !reflect.DeepEqual(want, v) {
				bad = at + " is not what it must be"
			}
		case "enum":
			bad = at + " is none of those allowed"
			for _, w := range want.([]any) {
				if reflect.DeepEqual(w, v) {
					bad = ""
				}
			}
		case "pattern":
			if s, is := v.(string); is && !regexp.MustCompile(want.(string)).MatchString(s) {
				bad = at + " does not look as it must: " + s
			}
		case "minimum", "maximum":
			n, is := number(v)
			limit, _ := number(want)
			if is && (keyword == "minimum" && n < limit || keyword == "maximum" && n > limit) {
				bad = at + " is out of range"
			}
		case "minItems":
			limit, _ := number(want)
			if l, is := v.([]any); is && float64(len(l)) < limit {
				bad = at + " has too few items"
			}
		case "items":
			l, _ := v.([]any)
			for _, item := range l {
				if bad == "" {
					bad = Conforms(want.(Node), item, at+"[]")
				}
			}
		case "properties":
			m, _ := v.(map[string]any)
			for name, s := range want.(Node) {
				if value, there := m[name]; there && bad == "" {
					bad = Conforms(s.(Node), value, at+"."+name)
				}
			}
		case "additionalProperties":
			m, _ := v.(map[string]any)
			known, _ := schema["properties"].(Node)
			for name, value := range m {
				if _, there := known[name]; there || bad != "" {
					continue
				}
				if s, is := want.(Node); is {
					bad = Conforms(s, value, at+"."+name)
				} else {
					bad = at + "." + name + " is not known"
				}
			}
		case "required":
			m, _ := v.(map[string]any)
			for _, name := range want.([]any) {
				if _, there := m[name.(string)]; !there {
					bad = at + "." + name.(string) + " is missing"
				}
			}
		case "anyOf":
			for _, s := range want.([]any) {
				if bad = Conforms(s.(Node), v, at); bad == "" {
					break
				}
			}
		default:
			bad = "the schema uses " + keyword + ", which is not checked"
		}
		if bad != "" {
			return bad
		}
	}
	return ""
}

func typed(want, v any, at string) string {
	names := []any{want}
	if l, is := want.([]any); is {
		names = l
	}
	n, isNumber := number(v)
	for _, name := range names {
		ok := false
		switch name {
		case "object":
			_, ok = v.(map[string]any)
		case "array":
			_, ok = v.([]any)
		case "string":
			_, ok = v.(string)
		case "boolean":
			_, ok = v.(bool)
		case "number":
			ok = isNumber
		case "integer":
			ok = isNumber && n == float64(int64(n))
		}
		if ok {
			return ""
		}
	}
	return at + " has the wrong type"
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}
