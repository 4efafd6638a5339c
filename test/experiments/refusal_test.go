package experiments

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zdl/internal/fault"
	"zdl/test/harness"
)

// What cannot be is one clear error, and nothing is touched.
func TestWhatCannotBeIsRefusedBeforeAnythingIsBroken(t *testing.T) {
	harness.Require(t)
	attacks := func() int {
		var all []fault.Attack
		theLab.ZdlJSON(t, &all, "attacks", "--all")
		return len(all)
	}
	before := attacks()
	good := "apiVersion: zdl/v1\nkind: Experiment\ntitle: x\nhypothesis: x\nmethod:\n- attack: {kind: pod-kill, target: any}\nexpect:\n- failed: {atMost: 1%}\n"
	load := "load:\n  arrivals: {rate: 1, for: 1s}\n  journeys:\n  - steps:\n    - url: /\n  thresholds:\n    http_req_failed: [\"rate<2\"]\n"
	dir := t.TempDir()
	file := filepath.Join(dir, "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		args []string
		says string
	}{
		"no YAML":                     {"method: [", nil, "line"},
		"unknown field":               {strings.Replace(good, "title", "titel", 1), nil, "did you mean title?"},
		"unknown fault":               {strings.Replace(good, "pod-kill", "pod-kil", 1), nil, `no fault "pod-kil"`},
		"impossible threshold":        {good + load, nil, "a rate is from 0 to 1"},
		"a host that is not there":    {good + strings.NewReplacer("url: /", `url: "http://no-such-host.invalid/"`, "rate<2", "rate<1").Replace(load), nil, "does not resolve"},
		"a folder that cannot be":     {good, []string{"--reports", filepath.Join(file, "x")}, "nothing was done"},
		"a file that is not there":    {"", nil, "no such file"},
		"more runs than there may be": {good, []string{"--repeat", "1000"}, "want 1 to 100"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.yaml")
			if c.text != "" {
				if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := c.args
			if args == nil {
				args = []string{"--reports", dir}
			}
			r, err := theLab.Try(t.Context(), append([]string{"run", path}, args...)...)
			if err != nil || r.Code == 0 || r.Code == 99 || !strings.Contains(r.Stderr, c.says) || strings.Contains(r.Stderr, "panic") {
				t.Errorf("exit %d, %v, want an error that says %q:\n%s%s", r.Code, err, c.says, r.Stdout, r.Stderr)
			}
			if lines := strings.Count(strings.TrimSpace(r.Stderr), "\n"); lines > 1 {
				t.Errorf("%d lines instead of one error and what to try:\n%s", lines+1, r.Stderr)
			}
		})
	}
	if after := attacks(); after != before {
		t.Errorf("%d attacks were made", after-before)
	}
}
