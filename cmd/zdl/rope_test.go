package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A rope that is cut leaves what is still to be undone; one that is released nothing.
func TestARescuerKnowsWhatIsStillToBeUndone(t *testing.T) {
	for text, want := range map[string]string{
		`{"undo":{"args":["a"]}}` + "\n" + `{"undo":{"args":["b"],"stdin":"x"}}` + "\n":              `[{"args":["a"]},{"args":["b"],"stdin":"x"}] false`,
		`{"undo":{"args":["a"]}}` + "\n" + `{"undo":{"args":["b"]}}` + "\n" + `{"drop":true}` + "\n": `[{"args":["a"]}] false`,
		`{"undo":{"args":["a"]}}` + "\n" + `{"done":true}` + "\n":                                    `null true`,
		`{"undo":{"args":["a"]}}` + "\n" + `{"undo":{"args":["b`:                                     `[{"args":["a"]}] false`,
		"": `null false`,
	} {
		undo, done := hold(strings.NewReader(text))
		data, err := json.Marshal(undo)
		if got := string(data) + map[bool]string{true: " true", false: " false"}[done]; err != nil || got != want {
			t.Errorf("%q: %s %v, want %s", text, got, err, want)
		}
	}
}

func TestExperimentsPrintTheirSchema(t *testing.T) {
	for _, args := range [][]string{{"experiments", "schema"}, {"experiments", "schema", "--load"}} {
		a, stdout, stderr := testApp(t)
		if code := run(t, a, args...); code != exitOK {
			t.Fatalf("exit code %d: %s", code, stderr)
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(stdout.String()), &v); err != nil || v["additionalProperties"] != false {
			t.Errorf("%v: %v", args, err)
		}
	}
}
