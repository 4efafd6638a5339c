package replay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"zdl/internal/cluster"
)

var birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// snapshot is a cluster of three zones; pods are "NAME ZONE AGE", older ones first.
func snapshot(pods ...string) *cluster.Snapshot {
	s := &cluster.Snapshot{Synced: true, Target: cluster.Target{Namespace: "web", Service: "web"}}
	for i, zone := range []string{"a", "b", "c"} {
		s.Zones = append(s.Zones, cluster.Zone{Name: zone, Nodes: []cluster.Node{
			{Name: fmt.Sprintf("cp-%d", i+1), Zone: zone, ControlPlane: true}, {Name: fmt.Sprintf("worker-%d", i+1), Zone: zone}}})
	}
	for _, text := range pods {
		var name, zone string
		var after int
		fmt.Sscanf(text, "%s %s %d", &name, &zone, &after)
		at := int(zone[0] - 'a')
		n := &s.Zones[at].Nodes[1]
		n.Pods = append(n.Pods, cluster.Pod{Namespace: "web", Name: name, UID: "uid-" + name, Node: n.Name, App: "web", Phase: "Running",
			Created: birth.Add(time.Duration(after) * time.Second)})
	}
	s.Machines = []cluster.Machine{{Name: "lb-1", Kind: "edge"}, {Name: "lb-2", Kind: "edge"}, {Name: "router-1", Kind: "router"}}
	return s
}

func nobody(string) string { return "" }

func TestAPodsRoleIsItsPlaceByAgeInItsZone(t *testing.T) {
	s := snapshot("young a 9", "old a 1", "other b 0")
	for id, want := range map[string]string{
		"pod/web/uid-old":   "the oldest of web/web in a",
		"pod/web/uid-young": "the 2. oldest of web/web in a",
		"pod/web/uid-other": "the oldest of web/web in b",
		"node/worker-2":     "node worker-2",
		"zone/c":            "zone c",
		"machine/lb-1":      "machine lb-1",
		"lab/web":           "lab web",
	} {
		r, err := RoleOf(id, s, nobody)
		if err != nil || r.String() != want {
			t.Errorf("%s: %q %v, want %q", id, r, err, want)
		}
		if got, note, err := r.Find(s, nobody, nil, 1); got != id || note != "" || err != nil {
			t.Errorf("%s is found as %s %q %v", id, got, note, err)
		}
	}
	for _, id := range []string{"", "pod", "pod/web/none", "node/none", "component/etcd", "tree/x"} {
		if r, err := RoleOf(id, s, nobody); err == nil {
			t.Errorf("%q has the role %v", id, r)
		}
	}
}

func TestTheLeaderIsFoundWhereItLeadsNow(t *testing.T) {
	s := snapshot()
	lead := func(node string) Leaders { return func(string) string { return node } }
	r, err := RoleOf("component/etcd@cp-1", s, lead("cp-1"))
	if err != nil || r.String() != "the leading etcd" {
		t.Fatal(r, err)
	}
	if id, _, err := r.Find(s, lead("cp-3"), nil, 1); id != "component/etcd@cp-3" || err != nil {
		t.Errorf("found %s %v", id, err)
	}
	follower, _ := RoleOf("component/etcd@cp-2", s, lead("cp-1"))
	if id, _, _ := follower.Find(s, lead("cp-2"), nil, 1); id != "component/etcd@cp-2" {
		t.Errorf("the follower is %s", id)
	}
}

func TestWhoIsGoneIsStoodInForByTheSeed(t *testing.T) {
	third := Role{Kind: "pod", Namespace: "web", App: "web", Zone: "a", Rank: 2}
	s := snapshot("p1 a 1", "p2 a 2", "p3 b 3")
	seen := map[string]bool{}
	for seed := range uint64(20) {
		id, note, err := third.Find(s, nobody, nil, seed)
		again, _, _ := third.Find(snapshot("p3 b 3", "p2 a 2", "p1 a 1"), nobody, nil, seed)
		if err != nil || id != again || !strings.Contains(note, "stands in") {
			t.Errorf("seed %d: %s, then %s, %q %v", seed, id, again, note, err)
		}
		seen[id] = true
	}
	if len(seen) != 2 || seen["pod/web/uid-p3"] {
		t.Errorf("chosen were %v, want both of zone a", seen)
	}
	if id, _, _ := third.Find(s, nobody, map[string]bool{"pod/web/uid-p1": true}, 0); id != "pod/web/uid-p2" {
		t.Errorf("one that was struck already was not passed over: %s", id)
	}
	if id, note, err := (Role{Kind: "zone", Name: "z"}).Find(s, nobody, nil, 1); id != "zone/b" || note == "" || err != nil {
		t.Errorf("%s %q %v", id, note, err)
	}
	if id, _, _ := (Role{Kind: "machine", Name: "lb-9"}).Find(s, nobody, nil, 1); id != "machine/lb-2" {
		t.Errorf("a load balancer is stood in for by %s", id)
	}
	if id, _, _ := (Role{Kind: "node", Name: "worker-9", Zone: "b"}).Find(s, nobody, nil, 1); id != "node/worker-2" {
		t.Errorf("a worker of zone b is stood in for by %s", id)
	}
	if _, _, err := third.Find(snapshot(), nobody, nil, 1); err == nil {
		t.Error("a pod was found where there is none")
	}
}

// FuzzFind: no role and no cluster make it panic, equal input gives the equal
// target, and a target that is found has a role again.
func FuzzFind(f *testing.F) {
	f.Add("pod", "x", "a", 3, uint64(7), "abc")
	f.Add("node", "worker-1", "b", 0, uint64(0), "")
	f.Fuzz(func(t *testing.T, kind, name, zone string, rank int, seed uint64, pods string) {
		var list []string
		for i, c := range []byte(pods)[:min(len(pods), 30)] {
			list = append(list, fmt.Sprintf("p%d %c %d", i, 'a'+c%3, i%4))
		}
		s := snapshot(list...)
		r := Role{Kind: kind, Name: name, Namespace: "web", App: "web", Zone: zone, Rank: rank}
		id, _, err := r.Find(s, nobody, nil, seed)
		again, _, _ := r.Find(s, nobody, nil, seed)
		if id != again {
			t.Fatalf("%v: %s, then %s", r, id, again)
		}
		if err == nil && kind != "lab" && kind != "component" {
			if _, err := RoleOf(id, s, nobody); err != nil {
				t.Fatalf("%v is found as %s: %v", r, id, err)
			}
		}
	})
}
