package repair

import (
	"fmt"
	"reflect"

	"zdl/internal/incident"
	"zdl/internal/incident/evidence"
	"zdl/internal/jsonpointer"
)

// count is a number in an object, or what Kubernetes takes where there is none.
func count(o any, pointer string, otherwise float64) float64 {
	if n, is := jsonpointer.Find(o, pointer).(float64); is {
		return n
	}
	return otherwise
}

// quantity is an amount as Kubernetes writes it, 0 where it is none.
func quantity(v any) float64 {
	n, _ := evidence.Quantity(fmt.Sprint(v))
	return n
}

// recognise finds the accepted fix whose changes are all there.
func recognise(s *incident.Scenario, now incident.Objects) string {
	for _, f := range s.Fixes {
		done := len(f.Play) > 0
		for i := range f.Play {
			done = done && shows(&f.Play[i], now)
		}
		if done {
			return f.ID
		}
	}
	return ""
}

// shows tells whether a change is there.
func shows(c *incident.Change, now incident.Objects) bool {
	o, there := now[c.Object]
	switch c.Verb {
	case incident.Restore: // how it was is not known here
		return false
	case incident.Remove:
		return !there
	case incident.Unset:
		return jsonpointer.Find(o, c.Field) == nil
	case incident.Set:
		return there && reflect.DeepEqual(jsonpointer.Find(o, c.Field), incident.Plain(c.Value))
	case incident.Apply:
		for _, m := range c.Manifests {
			e, err := incident.EntityOf(m)
			if err != nil || !holds(now[e], incident.Plain(m)) {
				return false
			}
		}
	}
	return true // a restart leaves nothing that must be there
}

// holds tells whether a document has everything that another one has.
func holds(doc, part any) bool {
	p, isObject := part.(map[string]any)
	if !isObject {
		return reflect.DeepEqual(doc, part)
	}
	d, _ := doc.(map[string]any)
	for k, v := range p {
		if !holds(d[k], v) {
			return false
		}
	}
	return d != nil
}
