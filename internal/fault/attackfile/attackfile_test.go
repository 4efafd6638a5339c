package attackfile

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
)

func TestAttacksAreRead(t *testing.T) {
	for text, want := range map[string]fault.Request{
		"{kind: pod-kill, target: any, mode: fixed-percent, value: 50, seed: 7, for: 1m, params: {grace: 0s, n: 5, on: true}}": {
			Kind: "pod-kill", Target: "any", Mode: fault.FixedPercent, Value: 50, Seed: 7, For: time.Minute, Params: map[string]string{"grace": "0s", "n": "5", "on": "true"}},
		"parts:\n- kind: a\n- {kind: b, target: c}\nsequence: true\npause: 1s\nfor: 30s\nforce: true\nseed: 3": {
			Parts: []fault.Request{{Kind: "a"}, {Kind: "b", Target: "c"}}, Sequence: true, Pause: time.Second, For: 30 * time.Second, Force: true, Seed: 3},
	} {
		got, err := Parse([]byte(text), "x.yaml")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", text, got, err, want)
		}
	}
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "x.yaml: the file is empty",
		"[":                            "x.yaml: ",
		"- kind: a":                    "x.yaml:1:1: this must be fields",
		"for: 30s":                     "x.yaml:1:1: there is neither parts nor a kind",
		"kind: a\npauze: 1s":           `x.yaml:2:1: there is no field "pauze"`,
		"kind: a\nkind: b":             "twice",
		"kind: a\nfor: soon":           `x.yaml:2:6: for "soon" is no duration`,
		"kind: a\nfor: -1s":            `x.yaml:2:6: for "-1s" is no duration`,
		"kind: a\nvalue: many":         `x.yaml:2:8: value "many" is no whole number`,
		"kind: a\nforce: maybe":        "x.yaml:2:8:",
		"kind: a\nmode: some":          `x.yaml:2:7: mode "some" is none of`,
		"kind: [a]":                    "x.yaml:1:7: kind must be a single value",
		"kind: a\nsequence: true":      "x.yaml:2:11: sequence is for several parts",
		"parts: a":                     "x.yaml:1:8: parts must be a list",
		"parts: []":                    "x.yaml:1:8: parts is empty",
		"parts:\n- target: b":          "x.yaml:2:3: a part needs a kind",
		"parts:\n- {kind: a, for: 1s}": `x.yaml:2:13: there is no field "for"`,
		"kind: b\nparts: [{kind: a}]":  "x.yaml:1:7: kind belongs to a part",
		"kind: a\n---\nkind: b":        "more than one document",
		"kind: a\nparams: {x: [1]}":    "x.yaml:2:13: x must be a single value",
	} {
		if _, err := Parse([]byte(text), "x.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
	if _, err := Read(strings.NewReader(strings.Repeat("#", MaxSize+1))); err == nil {
		t.Error("an endless file was read")
	}
}
