package experiments

import (
	"testing"

	"zdl/internal/experiment"
)

// Every file of the library can be read, and covers something.
func TestLibrary(t *testing.T) {
	names := Names()
	if len(names) < 25 {
		t.Errorf("%d experiments, want at least 25", len(names))
	}
	for _, name := range names {
		data, err := File(name)
		if err != nil {
			t.Fatal(err)
		}
		e, err := experiment.Read(data, name+".yaml", "http://198.18.0.100")
		if err != nil {
			t.Error(err)
			continue
		}
		if len(e.Covers) == 0 {
			t.Errorf("%s covers no row of the mission", name)
		}
	}
}
