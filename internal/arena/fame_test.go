package arena

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheHallOfFameKeepsTheBestAndOutlivesItsWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "arena.json")
	h, err := openHall(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if err := h.add("pods", i+1, &Fame{Names: []string{"ann"}, Points: float64(i * 7 % 30)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.add("pods", 31, nil); err != nil {
		t.Fatal(err)
	}
	again, err := openHall(path)
	if err != nil {
		t.Fatal(err)
	}
	if list := again.of("pods"); len(list) != famePlaces || list[0].Points != 29 || list[9].Points != 20 || again.rounds("pods") != 31 {
		t.Errorf("%d places, round %d: %+v", len(list), again.rounds("pods"), list)
	}
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("a half of a file was left")
	}
}

func TestADamagedHallOfFameIsPutAside(t *testing.T) {
	for name, data := range map[string]string{"torn": `{"version":1,"fame":{"pods":[{"po`, "garbage": "\x00\x01\x02", "empty": "", "of another version": `{"version":2}`} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "arena.json")
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := openHall(path)
			if err == nil || !strings.Contains(err.Error(), ".damaged") {
				t.Errorf("opened with %v", err)
			}
			if kept, _ := os.ReadFile(path + ".damaged"); string(kept) != data {
				t.Errorf("put aside: %q", kept)
			}
			if err := h.add("pods", 1, &Fame{Points: 5}); err != nil {
				t.Fatal(err)
			}
			if again, err := openHall(path); err != nil || len(again.of("pods")) != 1 {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestWhatSomebodyWroteIntoTheHallOfFameIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "arena.json")
	f := fameFile{Version: 1, Rounds: map[string]int{"Not A Level": 7}, Fame: map[string][]Fame{}}
	for i := range 500 {
		f.Fame[fmt.Sprint("level-", i)] = make([]Fame, 50)
	}
	f.Fame["level-0"][0].Names = []string{strings.Repeat("x", 100), "\u202eevil", "a", "b", "c", "d"}
	data, _ := json.Marshal(f)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := openHall(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.data.Fame) != fameLevels || len(h.data.Rounds) != 0 {
		t.Errorf("%d levels, rounds %v", len(h.data.Fame), h.data.Rounds)
	}
	for level, list := range h.data.Fame {
		if len(list) > famePlaces {
			t.Errorf("%s has %d places", level, len(list))
		}
		for _, f := range list {
			for _, n := range f.Names {
				if len([]rune(n)) > 24 || strings.ContainsRune(n, '\u202e') {
					t.Errorf("the name %q is shown", n)
				}
			}
		}
	}
}
