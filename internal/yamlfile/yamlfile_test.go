package yamlfile

import (
	"strings"
	"testing"
	"time"
)

type written struct {
	Name string `yaml:"name"`
	For  Span   `yaml:"for"`
}

func TestOneDocumentIsReadStrictly(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"name: a\nfor: 1m30s\n", ""},
		{"", "the file is empty"},
		{"name: a\n---\nname: b\n", "more than one document"},
		{"name: a\nnmae: b\n", "line 2: field nmae not found here"},
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
