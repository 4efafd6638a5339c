package incidents

import (
	"slices"
	"strings"
	"testing"

	"zdl/experiments"
	"zdl/internal/incident"
)

const base = "http://198.18.0.100"

func every(t *testing.T, name string) []*incident.Scenario {
	t.Helper()
	data, err := File(name)
	if err != nil {
		t.Fatal(err)
	}
	all, err := incident.ReadAll(data, name+".yaml", base)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every variant of every file can be read; together they cover what they have to.
func TestLibrary(t *testing.T) {
	names := Names()
	if len(names) != 13 {
		t.Errorf("%d scenarios, want 13: %v", len(names), names)
	}
	covered := map[string]bool{}
	healthy := 0
	for _, name := range names {
		all := every(t, name)
		if len(all) < 6 {
			t.Errorf("%s has %d variants: it can be learned by heart", name, len(all))
		}
		s := all[0]
		for _, row := range s.Covers {
			covered[row] = true
		}
		if s.Healthy {
			healthy++
		}
		known := experiments.Names()
		if len(s.Prevention) == 0 {
			t.Errorf("%s names no experiment that proves its prevention", name)
		}
		for _, e := range s.Prevention {
			if !slices.Contains(known, e) {
				t.Errorf("%s: there is no experiment %s", name, e)
			}
		}
		if len(s.Hints) == 0 || len(s.Decoys) < 3 {
			t.Errorf("%s: %d hints, %d decoys", name, len(s.Hints), len(s.Decoys))
		}
	}
	if healthy != 1 {
		t.Errorf("%d scenarios are healthy, want 1", healthy)
	}
	for _, row := range strings.Fields("A6 D5 E1 E2 E3 C2") {
		if !covered[row] {
			t.Errorf("no scenario covers %s", row)
		}
	}
}

// What a trainee reads before it begins does not name the root.
func TestNothingGivesTheCauseAway(t *testing.T) {
	for _, name := range Names() {
		for _, s := range every(t, name) {
			told := strings.ToLower(strings.Join([]string{s.Name, s.Title, s.Summary, s.Page.Alert, s.Page.Text, s.Page.Complaint}, " "))
			for _, n := range s.Graph.Of("root") {
				for _, word := range append(strings.Split(string(n.State), "-"), n.Entity.Kind()) {
					if len(word) > 5 && strings.Contains(told, word) {
						t.Errorf("%s: %q is told before it begins", name, word)
					}
				}
			}
		}
	}
}

func TestEveryRunbookSaysHowItIsFoundAndPrevented(t *testing.T) {
	for _, name := range Names() {
		text, err := Runbook(name)
		if err != nil {
			t.Error(err)
			continue
		}
		s := every(t, name)[0]
		if !strings.HasPrefix(string(text), "# "+s.Title+"\n") {
			t.Errorf("%s: the runbook has another title", name)
		}
		for _, part := range []string{"**How it is found.**", "**Why", "**Prevention.**"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: the runbook has no %s", name, part)
			}
		}
		linked := slices.ContainsFunc(s.Prevention, func(e string) bool { return strings.Contains(string(text), "`"+e+"`") })
		if !linked && name != "padlock-broken" {
			t.Errorf("%s: the runbook names no experiment", name)
		}
	}
}

func TestTheSameSeedGivesTheSameVariant(t *testing.T) {
	for _, name := range Names() {
		data, err := File(name)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for seed := range uint64(20) {
			text := ""
			for range 2 {
				s, err := incident.Read(data, name, base, seed)
				if err != nil {
					t.Fatal(err)
				}
				var words []string
				for k, v := range s.Variant {
					words = append(words, k+"="+v)
				}
				slices.Sort(words)
				if now := strings.Join(words, " "); text == "" {
					text = now
				} else if text != now {
					t.Errorf("%s: seed %d gives %s and %s", name, seed, text, now)
				}
			}
			seen[text] = true
		}
		if len(seen) < 4 {
			t.Errorf("%s: 20 seeds give %d variants", name, len(seen))
		}
	}
}
