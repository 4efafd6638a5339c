package labfile

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestProfilesAreValidAndOfTheSizeTheyPromise(t *testing.T) {
	for name, want := range map[string]struct{ controlPlanes, workers, databases, zones, edge, routers int }{
		"small": {1, 2, 0, 2, 1, 1},
		"ha":    {3, 3, 0, 3, 2, 2},
		"shop":  {3, 5, 3, 3, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Profile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Validate(); err != nil {
				t.Fatal(err)
			}
			databases := 0
			for _, n := range l.Nodes {
				if n.Labels["dedicated"] == "database" {
					databases++
					if len(n.Taints) != 1 || n.Taints[0] != DatabaseTaint {
						t.Errorf("%s has taints %v", n.Name, n.Taints)
					}
				}
			}
			got := []int{controlPlanes(l.Nodes), len(l.Nodes) - controlPlanes(l.Nodes) - databases, databases, len(l.Zones), l.Edge, l.Routers}
			if w := []int{want.controlPlanes, want.workers, want.databases, want.zones, want.edge, want.routers}; !reflect.DeepEqual(got, w) {
				t.Errorf("control planes, workers, databases, zones, edge, routers: %v, want %v", got, w)
			}
			if About(name) == "" {
				t.Error("nothing is said about it")
			}
		})
	}
	if got := Profiles(); !reflect.DeepEqual(got, []string{"small", "ha", "shop"}) {
		t.Errorf("Profiles() = %v", got)
	}
}

func TestEveryGroupOfNodesIsSpreadEvenlyOverZones(t *testing.T) {
	for _, name := range Profiles() {
		l, _ := Profile(name)
		groups := map[string]map[string]int{}
		for _, n := range l.Nodes {
			g := n.Name[:strings.Index(n.Name, "-")]
			if groups[g] == nil {
				groups[g] = map[string]int{}
				for _, z := range l.Zones {
					groups[g][z] = 0
				}
			}
			groups[g][n.Zone]++
		}
		for g, zones := range groups {
			low, high := MaxNodes, 0
			for _, n := range zones {
				low, high = min(low, n), max(high, n)
			}
			if high-low > 1 {
				t.Errorf("%s: %s nodes per zone: %v", name, g, zones)
			}
		}
	}
}

func TestProfileIsTheCallersOwn(t *testing.T) {
	a, _ := Profile("shop")
	a.Zones[0], a.Nodes[8].Labels["dedicated"], a.Nodes[8].Taints[0].Key = "x", "x", "x"
	b, _ := Profile("shop")
	if err := b.Validate(); err != nil || b.Zones[0] != "zone-a" || b.Nodes[8].Labels["dedicated"] != "database" {
		t.Errorf("a change to one lab shows in the next: %v %v", b, err)
	}
}

func TestUnknownProfileSaysWhichThereAre(t *testing.T) {
	_, err := Profile("smal")
	if want := `no profile "smal": allowed: small, ha, shop (did you mean "small"?)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestValidateFindsWhatACallerGotWrong(t *testing.T) {
	l, _ := Profile("ha")
	l.Nodes[3].Zone, l.Nodes[4].Memory, l.Edge = "zone-x", "lots", 3
	err := l.Validate()
	var list Errors
	if !errors.As(err, &list) || len(list) != 3 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"edge: found 3", `nodes[3].zone: found "zone-x"`, `nodes[4].memory: found "lots"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
}

func TestSizesInBytes(t *testing.T) {
	for in, want := range map[string]int64{
		"2Gi": 2 << 30, "1.5Gi": 3 << 29, "512Mi": 512 << 20, "2G": 2e9, "1073741824": 1 << 30, "1e9": 1e9,
		"": 0, "-1Gi": 0, "0": 0, "100m": 0, "2 Gi": 0, "9e30": 0, "8Ei": 0,
	} {
		n := Node{Memory: in, Disk: in}
		if n.MemoryBytes() != want || n.DiskBytes() != want {
			t.Errorf("%q is %d bytes, want %d", in, n.MemoryBytes(), want)
		}
	}
}
