package database

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zdl/internal/cluster"
	"zdl/internal/cluster/local/edge"
	"zdl/internal/database/patroni"
)

func member(role, state string, timeline uint32, standbys ...patroni.Standby) *patroni.Member {
	return &patroni.Member{Role: role, State: state, Timeline: timeline, Standbys: standbys}
}

func TestADatabaseIsReadyWhenAllMembersFollowOne(t *testing.T) {
	stream := func(name, sync string) patroni.Standby {
		return patroni.Standby{Name: name, State: "streaming", Sync: sync}
	}
	leads := member(cluster.RolePrimary, "running", 3, stream("postgres-0", "async"), stream("postgres-2", "sync"))
	leads.WAL.Location = 1000
	behind := member(cluster.RoleReplica, "running", 3)
	behind.WAL.ReceivedLocation = 900
	for _, c := range []struct {
		name    string
		said    []*patroni.Member
		primary string
		ready   bool
		trouble string
	}{
		{"all follow", []*patroni.Member{behind, leads, member(cluster.RoleReplica, "running", 3)}, "postgres-1", true, ""},
		{"one is silent but streams", []*patroni.Member{nil, leads, nil}, "postgres-1", true, ""},
		{"one does not stream", []*patroni.Member{member(cluster.RoleReplica, "starting", 2), member(cluster.RolePrimary, "running", 3, stream("postgres-2", "async")), nil},
			"postgres-1", false, "postgres-0 does not stream from postgres-1"},
		{"nobody leads", []*patroni.Member{behind, member(cluster.RolePrimary, "starting", 3), nil}, "", false, "no member"},
		{"two say they lead", []*patroni.Member{member(cluster.RolePrimary, "running", 2), leads, nil}, "postgres-1", true, ""},
	} {
		s := Status{Members: []Member{{Pod: "postgres-0"}, {Pod: "postgres-1"}, {Pod: "postgres-2"}}}
		judge(&s, c.said, 3)
		if s.Primary != c.primary || s.Ready != c.ready || !strings.Contains(s.Trouble, c.trouble) {
			t.Errorf("%s: primary %q, ready %v, %q", c.name, s.Primary, s.Ready, s.Trouble)
		}
		if c.name == "all follow" && (s.Members[0].LagBytes != 100 || s.Members[0].Sync || !s.Members[2].Sync) {
			t.Errorf("%s: %+v", c.name, s.Members)
		}
	}
	s := Status{Members: []Member{{Pod: "postgres-1"}}}
	judge(&s, []*patroni.Member{leads}, 3)
	if s.Ready || !strings.Contains(s.Trouble, "1 of 3") {
		t.Errorf("with pods missing: %+v", s)
	}
}

func TestOnlyPodsOfTheDatabaseAreMembers(t *testing.T) {
	snap := cluster.Snapshot{System: []cluster.Pod{
		{Namespace: "database", App: "postgres", Name: "postgres-1", IP: "198.19.4.2"},
		{Namespace: "database", App: "other", Name: "other"},
		{Namespace: "web", App: "postgres", Name: "mine"},
		{Namespace: "database", App: "postgres", Name: "postgres-0"},
	}}
	got := Members(snap)
	if len(got) != 2 || got[0].Pod != "postgres-0" || got[1].Address != "198.19.4.2" {
		t.Errorf("%+v", got)
	}
}

func TestOnlyServersInMaintenanceAreOpened(t *testing.T) {
	servers := []edge.Server{{Name: "worker-1", Maintenance: true}, {Name: "worker-2"}}
	if got := serversToSwitch(servers, true); !slices.Equal(got, []string{"worker-1"}) {
		t.Errorf("to open: %v", got)
	}
	if got := serversToSwitch(servers, false); !slices.Equal(got, []string{"worker-2"}) {
		t.Errorf("to close: %v", got)
	}
}

func TestWhatIsInstalledOutlivesTheDaemon(t *testing.T) {
	file := filepath.Join(t.TempDir(), "database.json")
	m, err := New(Config{File: file})
	if err != nil || m.Installed() {
		t.Fatalf("%v, %v", m, err)
	}
	if _, err := m.Password(); err != ErrNone {
		t.Errorf("a password of nothing: %v", err)
	}
	k := newKept()
	k.Synchronous, k.Members = true, 3
	if err := m.keep(k); err != nil {
		t.Fatal(err)
	}
	later, err := New(Config{File: file})
	if err != nil || !later.Installed() || *later.installed() != *k {
		t.Fatalf("%+v, %v", later, err)
	}
	if err := later.forget(); err != nil {
		t.Fatal(err)
	}
	if again, err := New(Config{File: file}); err != nil || again.Installed() {
		t.Fatalf("%+v, %v", again, err)
	}
}
