package yamlfile

import (
	"strings"
	"testing"
	"time"
)

type written struct {
	Name string `yaml:"name"`
	For  Span   `yaml:"for" doc:"How long."`
	In   []part `yaml:"in"`
}

type part struct {
	Length Span           `yaml:"length" need:"y"`
	Sizes  map[string]int `yaml:"sizes" schema:"{\"maximum\": 3}"`
}

func TestOneDocumentIsReadStrictly(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"name: a\nfor: 1m30s\n", ""},
		{"", "the file is empty"},
		{"name: a\n---\nname: b\n", "more than one document"},
		{"name: a\nnmae: b\n", "line 2: field nmae not found here; did you mean name?"},
		{"name: a\nin: [{lenght: 1s}]\n", "line 2: field lenght not found here; did you mean length?"},
		{"name: a\ncolour: b\n", "field colour not found here; known are name, for, in"},
		{"for: -1s\n", `line 1: "-1s" is not a duration`},
		{"for: 10\n", `line 1: "10" is not a duration`},
	} {
		var v written
		err := Decode([]byte(c.text), &v)
		if c.says == "" {
			if err != nil || v.Name != "a" || v.For != Span(90*time.Second) {
				t.Errorf("%q: %+v %v", c.text, v, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%q was read", c.text)
			continue
		}
		if got := Explain("x.yaml", err).Error(); !strings.HasPrefix(got, "x.yaml: ") || !strings.Contains(got, c.says) || strings.Contains(got, "\n") {
			t.Errorf("%q: %q, want one line with %q", c.text, got, c.says)
		}
	}
}

func TestTheSchemaAcceptsWhatIsReadAndRefusesWhatIsNot(t *testing.T) {
	s := Schema("Things", "things.json", "Thing", struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Inner      part   `yaml:"inner"`
	}{})
	head := func(inner any) any {
		return map[string]any{"apiVersion": APIVersion, "kind": "Thing", "inner": inner}
	}
	for _, c := range []struct {
		v    any
		says string
	}{
		{head(map[string]any{"length": "1s", "sizes": map[string]any{"a": 1}}), ""},
		{head(map[string]any{"length": "soon"}), "does not look"},
		{head(map[string]any{}), ".inner.length is missing"},
		{head(map[string]any{"length": "1s", "width": 1}), ".inner.width is not known"},
		{head(map[string]any{"length": "1s", "sizes": map[string]any{"a": "x"}}), "wrong type"},
		{map[string]any{"apiVersion": "v1", "kind": "Thing"}, "not what it must be"},
		{map[string]any{"kind": "Thing"}, ".apiVersion is missing"},
	} {
		if got := Conforms(s, c.v, ""); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%v: %q, want %q", c.v, got, c.says)
		}
	}
	if d := s["properties"].(Node)["inner"].(Node)["additionalProperties"]; d != false {
		t.Errorf("an unknown field is not refused: %v", d)
	}
}
