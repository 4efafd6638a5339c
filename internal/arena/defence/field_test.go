package defence

import (
	"encoding/json"
	"strings"
	"testing"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := utiljson.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

func TestOnlyTheSmallestPlacesThatDifferAreChanged(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{"spec":{"replicas":3,"paused":true}}`, `{"spec":{"replicas":6,"paused":true}}`, "spec.replicas 6, was 3"},
		{`{"spec":{}}`, `{"spec":{"a":{"b":1}}}`, `spec.a {"b":1}, was absent`},
		{`{"spec":{"a":{"b":1}}}`, `{"spec":{}}`, `spec.a absent, was {"b":1}`},
		{`{"spec":{"l":[{"x":1},{"x":2}]}}`, `{"spec":{"l":[{"x":1},{"x":3}]}}`, "spec.l.1.x 3, was 2"},
		{`{"spec":{"l":[1]}}`, `{"spec":{"l":[1,2]}}`, "spec.l [1,2], was [1]"},
		{`{"data":{"a/b~c":"x"}}`, `{"data":{"a/b~c":"y"}}`, `data.a/b~c "y", was "x"`},
		{`{"metadata":{"generation":1,"resourceVersion":"4"},"status":{"replicas":3}}`, `{"metadata":{"generation":2,"resourceVersion":"5"},"status":{"replicas":4}}`, ""},
		{`{"metadata":{"name":"a"}}`, `{"metadata":{"name":"a","annotations":{"k":"v"}}}`, `metadata.annotations {"k":"v"}, was absent`},
		{`{"spec":{"a":null}}`, `{"spec":{}}`, ""},
	} {
		var got []string
		for _, f := range diff(object(t, c.before), object(t, c.after)) {
			got = append(got, f.change())
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s -> %s: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}

func TestWhatSomebodyElseChangedIsLeftAlone(t *testing.T) {
	before, after := object(t, `{"spec":{"replicas":3,"min":1}}`), object(t, `{"spec":{"replicas":6,"min":5}}`)
	fields := diff(before, after)
	now := object(t, `{"spec":{"replicas":4,"min":5,"other":true}}`)
	changed, foreign := turn(now, fields, true)
	if got := string(encode(now)); got != `{"spec":{"min":1,"other":true,"replicas":4}}` || !changed {
		t.Errorf("changed %v to %s", changed, got)
	}
	if len(foreign) != 1 || foreign[0] != "spec.replicas is 4" {
		t.Errorf("left alone: %q", foreign)
	}
}

func TestAMemberOfAListThatIsGoneIsLeftAlone(t *testing.T) {
	fields := diff(object(t, `{"spec":{"l":[{"x":1},{"x":2}]}}`), object(t, `{"spec":{"l":[{"x":1},{"x":3}]}}`))
	now := object(t, `{"spec":{"l":[{"x":1}]}}`)
	if changed, foreign := turn(now, fields, true); changed || len(foreign) != 1 {
		t.Errorf("changed %v, foreign %q", changed, foreign)
	}
}

func TestChangesOverlapWhereOneLiesInTheOther(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"/spec/replicas", "/spec/replicas", true},
		{"/spec", "/spec/replicas", true},
		{"/spec/replicas", "/spec", true},
		{"/spec/rep", "/spec/replicas", false},
		{"/spec/a", "/spec/b", false},
	} {
		if got := overlap(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

// FuzzUndoRestores: whatever two objects are, the difference turns one into the
// other and back, and doing so again changes nothing.
func FuzzUndoRestores(f *testing.F) {
	f.Add(`{"spec":{"replicas":3}}`, `{"spec":{"replicas":6}}`)
	f.Add(`{"spec":{"a":[1,{"b":null}],"":{"/":1}}}`, `{"spec":{"a":[2,{"b":{"~1":"x"}}],"c":{}}}`)
	f.Add(`{"metadata":{"annotations":{"a":"b"}},"data":{"x":"y"}}`, `{"metadata":{},"data":null}`)
	f.Add(`{"spec":[[],[[]],{}]}`, `{"spec":[{},[[1]],null]}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 4096 {
			t.Skip()
		}
		read := func(text string) map[string]any {
			var o map[string]any
			if utiljson.Unmarshal([]byte(text), &o) != nil || o == nil {
				t.Skip()
			}
			return withoutNulls(o).(map[string]any)
		}
		before, after := read(a), read(b)
		fields := diff(before, after)
		// As the journal keeps it.
		data, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		fields = nil
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		o := read(a)
		for _, undo := range []bool{false, true} {
			want := after
			if undo {
				want = before
			}
			changed, foreign := turn(o, fields, undo)
			if len(foreign) > 0 || changed != (len(fields) > 0) {
				t.Fatalf("undo %v: changed %v, foreign %q of %v", undo, changed, foreign, fields)
			}
			if left := diff(withoutNulls(o).(map[string]any), want); len(left) > 0 {
				t.Fatalf("undo %v: %s is not %s: %v", undo, encode(o), encode(want), left)
			}
			if again, foreign := turn(o, fields, undo); again || len(foreign) > 0 {
				t.Fatalf("undo %v again: changed %v, foreign %q", undo, again, foreign)
			}
		}
	})
}

// withoutNulls is how the API server keeps objects: maps hold no null.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			if inner != nil {
				out[key] = withoutNulls(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = withoutNulls(inner)
		}
		return out
	}
	return v
}
