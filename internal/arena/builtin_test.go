package arena_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	levels "zdl/arena"
	"zdl/internal/arena"
	"zdl/internal/fault/catalogue"
	"zdl/internal/fault/step"
)

func TestTheBuiltInLevelsAreTenAndFitTheCatalogue(t *testing.T) {
	all, refused := arena.ReadLevels(levels.Files())
	for _, err := range refused {
		t.Error(err)
	}
	want := []string{"pods", "ingress", "dns", "nodes", "zones", "edge", "control-plane", "etcd", "database", "free-play"}
	if len(all) != len(want) {
		t.Fatalf("%d levels, want %d", len(all), len(want))
	}
	kinds := catalogue.Kinds(&step.World{})
	for i, l := range all {
		if l.Name != want[i] || l.Number != i+1 || l.File != fmt.Sprintf("%02d-%s.yaml", l.Number, l.Name) {
			t.Errorf("level %d: %d, %s, %s", i+1, l.Number, l.Name, l.File)
		}
		if err := arena.CheckWeapons(l, kinds); err != nil {
			t.Error(err)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)]*)\)`)

func TestTheTextsOfTheLevelsAreShortAndTheirLinksLeadSomewhere(t *testing.T) {
	all, _ := arena.ReadLevels(levels.Files())
	for _, l := range all {
		if n := len(strings.Fields(l.Text)); n < 80 || n > 260 {
			t.Errorf("%s: %d words, want 80 to 260", l.Name, n)
		}
		if n := len(strings.Fields(l.Lesson)); n < 30 || n > 160 {
			t.Errorf("%s: the lesson has %d words, want 30 to 160", l.Name, n)
		}
		for _, text := range []string{l.Text, l.Lesson} {
			for _, m := range link.FindAllStringSubmatch(text, -1) {
				if _, err := os.Stat("../../" + m[1]); err != nil || !strings.HasPrefix(m[1], "docs/") {
					t.Errorf("%s links to %s: %v", l.Name, m[1], err)
				}
			}
		}
	}
}
