package repair

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"zdl/internal/incident"
	"zdl/internal/jsonpointer"
)

// count is a number in an object, or what Kubernetes takes where there is none.
func count(o any, pointer string, otherwise float64) float64 {
	if n, is := jsonpointer.Find(o, pointer).(float64); is {
		return n
	}
	return otherwise
}

// suffixes of Kubernetes' quantities, the longer ones first.
var suffixes = []struct {
	text   string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

// quantity is an amount as Kubernetes writes it: 500m, 64Mi, 2; 0 where it is none.
func quantity(v any) float64 {
	text := strings.TrimSpace(fmt.Sprint(v))
	for _, s := range suffixes {
		if rest, ok := strings.CutSuffix(text, s.text); ok {
			if n, err := strconv.ParseFloat(rest, 64); err == nil {
				return n * s.factor
			}
		}
	}
	return 0
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
		return there && reflect.DeepEqual(jsonpointer.Find(o, c.Field), decoded(c.Value))
	case incident.Apply:
		for _, m := range c.Manifests {
			e, err := incident.EntityOf(m)
			if err != nil || !holds(now[e], decoded(m)) {
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

// decoded makes of YAML what JSON gives.
func decoded(v any) any {
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
