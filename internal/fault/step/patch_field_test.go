package step

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// What is sent to the API server to make a change, and to take it back, for the
// shapes that an object may have by then.
func TestPatchesTestWhatTheyReplace(t *testing.T) {
	for _, c := range []struct {
		name, planned, now string
		field              Field
		undo               bool
		want               string
	}{
		{"a value is replaced", `{"spec":{"n":3}}`, `{"spec":{"n":3}}`, Set("/spec/n", 0), false,
			`[{"op":"test","path":"/spec/n","value":3},{"op":"replace","path":"/spec/n","value":0}]`},
		{"and put back", `{"spec":{"n":3}}`, `{"spec":{"n":0}}`, Set("/spec/n", 0), true,
			`[{"op":"test","path":"/spec/n","value":0},{"op":"replace","path":"/spec/n","value":3}]`},
		{"nothing to put back", `{"spec":{"n":3}}`, `{"spec":{"n":3}}`, Set("/spec/n", 0), true, `null`},
		{"somebody else's value stays", `{"spec":{"n":3}}`, `{"spec":{"n":7}}`, Set("/spec/n", 0), true, `null`},
		{"a new field is tested for absence", `{"spec":{}}`, `{"spec":{}}`, Set("/spec/n", 1), false,
			`[{"op":"test","path":"/spec/n","value":null},{"op":"add","path":"/spec/n","value":1}]`},
		{"a field whose parent is missing takes the parent along", `{"spec":{}}`, `{"spec":{}}`, Set("/spec/a/x~1y", "z"), false,
			`[{"op":"test","path":"/spec/a","value":null},{"op":"add","path":"/spec/a","value":{"x/y":"z"}}]`},
		{"and leaves no empty parent", `{"spec":{}}`, `{"spec":{"a":{"x/y":"z"}}}`, Set("/spec/a/x~1y", "z"), true,
			`[{"op":"test","path":"/spec/a","value":{"x/y":"z"}},{"op":"remove","path":"/spec/a"}]`},
		{"a parent that vanished is made anew", `{"data":{"k":"v"}}`, `{}`, Field{Path: "/data/k"}, true,
			`[{"op":"add","path":"/data","value":{}},{"op":"test","path":"/data/k","value":null},{"op":"add","path":"/data/k","value":"v"}]`},
		{"a member is found where it is now", `{"l":[]}`, `{"l":["other","ours"]}`, AddMember("/l", "ours"), true,
			`[{"op":"test","path":"/l/1","value":"ours"},{"op":"remove","path":"/l/1"}]`},
		{"a member comes back where it was", `{"l":["a","ours","b"]}`, `{"l":["a","b"]}`, RemoveMember("/l", "ours"), true,
			`[{"op":"add","path":"/l/1","value":"ours"}]`},
		{"or at the end of a shorter list", `{"l":["a","ours"]}`, `{"l":["x"]}`, RemoveMember("/l", "ours"), true,
			`[{"op":"add","path":"/l/-","value":"ours"}]`},
		{"the only member goes with its list", `{}`, `{"l":["ours"]}`, AddMember("/l", "ours"), true,
			`[{"op":"test","path":"/l","value":["ours"]},{"op":"remove","path":"/l"}]`},
	} {
		c.field.read(object(t, c.planned))
		p := &Patch{Fields: []Field{c.field}}
		ops, err := p.needed(object(t, c.now), c.undo)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := json.Marshal(ops)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	f := Field{Path: "/data/key", Secret: true}
	f.read(object(t, `{"data":{"key":"aHVzaA=="}}`))
	if got := f.change(); got != "data.key removed, was "+fingerprint([]byte(`"aHVzaA=="`)) {
		t.Errorf("shown as %q", got)
	}
}
