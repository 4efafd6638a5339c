package jsonpointer

import (
	"encoding/json"
	"testing"
)

func TestFindLeadsThroughMapsAndLists(t *testing.T) {
	var doc any
	if err := json.Unmarshal([]byte(`{"a":{"b/c":[1,{"~d":"x"}],"n":null}}`), &doc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"/a/b~1c/0": 1.0, "/a/b~1c/1/~0d": "x", "/a/n": nil, "/a/none": nil, "/a/b~1c/2": nil, "/a/b~1c/-1": nil, "/a/b~1c/0/deeper": nil,
	} {
		if got := Find(doc, path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	if key := "a/b~c"; Unescape(Escape(key)) != key {
		t.Errorf("%q does not come back from %q", key, Escape(key))
	}
}
