package defence

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	webPath = "/apis/apps/v1/namespaces/web/deployments/web"
	pdbPath = "/apis/policy/v1/namespaces/web/poddisruptionbudgets/web"
	web     = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"web"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}}}}`
	pdb     = `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web","namespace":"web"},"spec":{"minAvailable":2}}`
)

// six is the defence that most tests apply.
func six() *Defence {
	return &Defence{Name: "six-replicas", Title: "Six replicas", Why: "More must die.", Patches: []Patch{
		{Kind: "Deployment", Namespace: "web", Name: "web", Merge: map[string]any{"spec": map[string]any{"replicas": 6}}, Settled: Rollout,
			Spread: &Spread{Over: "topology.kubernetes.io/zone", AtLeast: 3}},
		{Kind: "PodDisruptionBudget", Namespace: "web", Name: "web", Merge: map[string]any{"spec": map[string]any{"minAvailable": 5}}, Settled: Observed},
	}}
}

// started runs a Keeper; stop ends it like a daemon that is stopped.
func started(t *testing.T, dir string, api *fakeAPI, change func(*Keeper)) (k *Keeper, stop func()) {
	t.Helper()
	k, err := New(Config{Dir: dir, Client: api.client, Facts: func() Facts { return Facts{Workers: 3, Zones: 3, ControlPlanes: 3, Timing: "realistic"} }})
	if err != nil {
		t.Fatal(err)
	}
	k.retry, k.poll = time.Millisecond, time.Millisecond
	if change != nil {
		change(k)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); k.Run(ctx) }()
	stop = func() { cancel(); <-over }
	t.Cleanup(stop)
	waitFor(t, k, "it runs", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.running != nil })
	return k, stop
}

func waitFor(t *testing.T, k *Keeper, what string, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("not within 10 s: %s; states %+v", what, k.States([]Defence{*six()}))
		case <-time.After(time.Millisecond):
		}
	}
}

func state(k *Keeper, d *Defence) Status { return k.States([]Defence{*d})[0] }

func idle(k *Keeper, d *Defence) func() bool {
	return func() bool { s := state(k, d); return !s.Applying }
}

func TestADefenceCountsOnlyWhenItWasObservedAndOffRestoresExactly(t *testing.T) {
	api := newFakeAPI(t, web, pdb)
	api.stuck = true
	dir := t.TempDir()
	k, _ := started(t, dir, api, nil)
	beforeWeb, beforePDB := api.spec(webPath), api.spec(pdbPath)
	api.mu.Lock()
	api.before = func(_ int, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Query().Get("dryRun") == "" && r.URL.Path == webPath {
			data, err := os.ReadFile(filepath.Join(dir, "six-replicas.json"))
			if err != nil || !strings.Contains(string(data), `"old":3`) || !strings.Contains(string(data), `"old":2`) {
				t.Errorf("it is changed before it is written down: %v %s", err, data)
			}
		}
	}
	api.mu.Unlock()
	if err := k.Apply(context.Background(), "pods", six(), "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "the object is changed", func() bool { return strings.Contains(api.spec(webPath), `"replicas":6`) })
	if s := state(k, six()); s.Applied || !s.Applying {
		t.Errorf("it counts before its rollout: %+v", s)
	}
	api.mu.Lock()
	api.stuck = false
	api.follow(api.objects[webPath])
	api.mu.Unlock()
	waitFor(t, k, "it is applied", func() bool { return state(k, six()).Applied })
	s := state(k, six())
	if len(s.Evidence) != 2 || !strings.Contains(s.Evidence[0], "6 of 6 replicas") || !strings.Contains(s.Evidence[0], "zone-a, zone-b, zone-c") || s.Since.IsZero() {
		t.Errorf("evidence is %q since %v", s.Evidence, s.Since)
	}
	if got := k.Applied(); len(got) != 1 || got[0] != "six-replicas" {
		t.Errorf("applied are %q", got)
	}
	var refused *Error
	if err := k.Apply(context.Background(), "pods", six(), "ada"); !errors.As(err, &refused) || !strings.Contains(err.Error(), "applied already") {
		t.Errorf("again: %v", err)
	}
	if err := k.AllOff(context.Background(), "ada"); err != nil {
		t.Fatal(err)
	}
	if api.spec(webPath) != beforeWeb || api.spec(pdbPath) != beforePDB {
		t.Errorf("not restored: %s %s", api.spec(webPath), api.spec(pdbPath))
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the journal still holds %v", left)
	}
	if err := k.Off("six-replicas", "ada"); !errors.As(err, &refused) {
		t.Errorf("off again: %v", err)
	}
}

// TestADaemonThatDiesAtAnyRequestLeavesAllOrNothing ends a daemon at its n-th
// request, for every n, and starts another one.
func TestADaemonThatDiesAtAnyRequestLeavesAllOrNothing(t *testing.T) {
	for _, off := range []bool{false, true} {
		ended := false
		for n := 1; !ended; n++ {
			if n > 100 {
				t.Fatal("it never gets through")
			}
			api := newFakeAPI(t, web, pdb)
			beforeWeb, beforePDB := api.spec(webPath), api.spec(pdbPath)
			dir := t.TempDir()
			k, stop := started(t, dir, api, nil)
			if off {
				if err := k.Apply(context.Background(), "pods", six(), "ada"); err != nil {
					t.Fatal(err)
				}
				waitFor(t, k, "it is applied", func() bool { return state(k, six()).Applied })
			}
			died := make(chan struct{})
			api.mu.Lock()
			from := api.requests
			api.before = func(at int, _ *http.Request) {
				if at == from+n {
					k.mu.Lock()
					running := k.running
					k.mu.Unlock()
					go stop()
					if running != nil {
						<-running.Done()
					}
					close(died)
				}
			}
			api.mu.Unlock()
			if off {
				_ = k.Off("six-replicas", "ada")
			} else {
				_ = k.Apply(context.Background(), "pods", six(), "ada")
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for state(k, six()).Applying || k.Changing() != "" {
					time.Sleep(time.Millisecond)
				}
			}()
			select {
			case <-died:
			case <-done:
				select {
				case <-died:
				default:
					ended = true // fewer requests than n: it went through
				}
			}
			stop()
			api.mu.Lock()
			api.before = nil
			api.mu.Unlock()
			next, _ := started(t, dir, api, nil)
			waitFor(t, next, "the next daemon has put it right", func() bool { s := state(next, six()); return !s.Applying && next.unfinished() == nil })
			s := state(next, six())
			isSix := strings.Contains(api.spec(webPath), `"replicas":6`) && strings.Contains(api.spec(pdbPath), `"minAvailable":5`)
			isThree := api.spec(webPath) == beforeWeb && api.spec(pdbPath) == beforePDB
			left, _ := os.ReadDir(dir)
			if s.Applied && (!isSix || len(left) != 1) || !s.Applied && (!isThree || len(left) != 0) {
				t.Errorf("off %v, ended at request %d: applied %v, %s, %s, journal %v", off, n, s.Applied, api.spec(webPath), api.spec(pdbPath), left)
			}
		}
	}
}

func TestWhatDoesNotSettleIsTakenBack(t *testing.T) {
	api := newFakeAPI(t, web, pdb)
	before := api.spec(webPath)
	k, _ := started(t, t.TempDir(), api, func(k *Keeper) { k.patience = func(time.Duration) time.Duration { return time.Second } })
	api.mu.Lock()
	api.stuck = true
	api.before = func(int, *http.Request) { // three there are already
		api.mu.Lock()
		defer api.mu.Unlock()
		if o := api.objects[webPath]; o["spec"].(map[string]any)["replicas"] == int64(3) {
			api.follow(o)
		}
	}
	api.mu.Unlock()
	if err := k.Apply(context.Background(), "pods", six(), "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "it was taken back", func() bool { s := state(k, six()); return !s.Applying && s.Trouble != "" })
	if s := state(k, six()); s.Applied || !strings.Contains(s.Trouble, "has not settled in time") {
		t.Errorf("got %+v", s)
	}
	if got := api.spec(webPath); got != before {
		t.Errorf("not restored: %s", got)
	}
}

func TestOthersChangesAreNotOverwritten(t *testing.T) {
	api := newFakeAPI(t, web, pdb)
	k, _ := started(t, t.TempDir(), api, nil)
	api.mu.Lock()
	api.conflict = 3 // and it tries again
	api.mu.Unlock()
	if err := k.Apply(context.Background(), "pods", six(), "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "it is applied", func() bool { return state(k, six()).Applied })
	api.mu.Lock()
	api.objects[webPath]["spec"].(map[string]any)["replicas"] = int64(4)
	api.follow(api.objects[webPath])
	api.mu.Unlock()
	if err := k.Off("six-replicas", "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "it is off", idle(k, six()))
	if got := api.spec(webPath); !strings.Contains(got, `"replicas":4`) {
		t.Errorf("what somebody else made was overwritten: %s", got)
	}
	if got := api.spec(pdbPath); !strings.Contains(got, `"minAvailable":2`) {
		t.Errorf("what is ours was not restored: %s", got)
	}
	if s := state(k, six()); s.Applied || !strings.Contains(s.Trouble, "spec.replicas is 4") {
		t.Errorf("nobody is told: %+v", s)
	}
}

func TestRefusalsTouchNothing(t *testing.T) {
	api := newFakeAPI(t, web, pdb)
	before := api.spec(webPath) + api.spec(pdbPath)
	busy := ""
	k, _ := started(t, t.TempDir(), api, func(k *Keeper) { k.Busy = func() string { return busy } })
	other := func(change func(*Defence)) *Defence { d := six(); change(d); return d }
	for _, c := range []struct {
		name string
		d    *Defence
		prep func()
		says string
	}{
		{"busy", six(), func() { busy = "a round is being played" }, "a round is being played"},
		{"unavailable", other(func(d *Defence) { d.Patches, d.Unavailable = nil, "Another lab." }), func() { busy = "" }, "Another lab."},
		{"needs", other(func(d *Defence) { d.Needs.Workers = 9 }), nil, "9 workers"},
		{"no such object", other(func(d *Defence) { d.Patches[0].Name = "nothing" }), nil, "no Deployment web/nothing"},
		{"so already", other(func(d *Defence) {
			d.Patches = d.Patches[:1]
			d.Patches[0].Merge = map[string]any{"spec": map[string]any{"replicas": 3}}
		}), nil, "like that already"},
		{"no manifests", &Defence{Name: "x", Title: "X", Why: "Y", Patches: []Patch{{Kind: StaticPod, Name: "kube-scheduler", Flags: map[string]string{"a": "b"}, Settled: Rollout}}}, nil, "not the lab's to change"},
		{"rejected", six(), func() { api.mu.Lock(); api.reject = true; api.mu.Unlock() }, "does not take the change"},
	} {
		if c.prep != nil {
			c.prep()
		}
		err := k.Apply(context.Background(), "pods", c.d, "ada")
		var refused *Error
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || refused.Hint == "" {
			t.Errorf("%s: %v", c.name, err)
		}
		if api.spec(webPath)+api.spec(pdbPath) != before || k.Changing() != "" {
			t.Errorf("%s: something was touched", c.name)
		}
	}
}

func TestTwoDefencesDoNotHoldTheSamePlace(t *testing.T) {
	api := newFakeAPI(t, web, pdb)
	k, _ := started(t, t.TempDir(), api, nil)
	if err := k.Apply(context.Background(), "pods", six(), "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "it is applied", func() bool { return state(k, six()).Applied })
	d := six()
	d.Name, d.Patches = "nine-replicas", d.Patches[:1]
	d.Patches[0].Merge = map[string]any{"spec": map[string]any{"replicas": 9}}
	err := k.Apply(context.Background(), "nodes", d, "ada")
	if err == nil || !strings.Contains(err.Error(), "spec.replicas of Deployment web/web is held by the defence six-replicas") {
		t.Errorf("got %v", err)
	}
}

// machines are the manifests of a control plane in a directory, as a kubelet runs them.
type machines struct{ dir string }

func (m machines) Nodes() []string         { return []string{"cp-1", "cp-2", "cp-3"} }
func (m machines) Ready(string) string     { return "" }
func (m machines) Path(n, c string) string { return filepath.Join(m.dir, n, "manifests", c+".yaml") }

func TestTheControlPlaneIsChangedOneNodeAtATimeAndRestoredByteForByte(t *testing.T) {
	m := machines{t.TempDir()}
	for _, n := range m.Nodes() {
		if err := os.MkdirAll(filepath.Dir(m.Path(n, "kube-scheduler")), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.Path(n, "kube-scheduler"), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api := newFakeAPI(t)
	api.mirror = func(name string) []string { // the kubelet follows the file
		data, _ := os.ReadFile(m.Path(strings.TrimPrefix(name, "kube-scheduler-"), "kube-scheduler"))
		return manifestFlags(data)
	}
	k, _ := started(t, t.TempDir(), api, func(k *Keeper) { k.Manifests = m })
	d := &Defence{Name: "faster-leases", Title: "Faster leases", Why: "Y", Patches: []Patch{
		{Kind: StaticPod, Name: "kube-scheduler", Flags: map[string]string{"leader-elect-lease-duration": "4s"}, Settled: Rollout}}}
	if err := k.Apply(context.Background(), "pods", d, "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "it is applied", func() bool { return state(k, d).Applied })
	if s := state(k, d); len(s.Evidence) != 3 || !strings.Contains(s.Evidence[2], "kube-scheduler on cp-3 runs with --leader-elect-lease-duration=4s") {
		t.Errorf("evidence is %q", s.Evidence)
	}
	if err := k.AllOff(context.Background(), "ada"); err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Nodes() {
		data, err := os.ReadFile(m.Path(n, "kube-scheduler"))
		info, _ := os.Stat(m.Path(n, "kube-scheduler"))
		if err != nil || string(data) != manifest || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v\n%s", n, err, info.Mode(), data)
		}
		if left, _ := os.ReadDir(filepath.Join(m.dir, n)); len(left) != 1 {
			t.Errorf("%s: left behind %v", n, left)
		}
	}
}

func TestADocumentInAnAnnotationIsChangedAndItsProgramIsAsked(t *testing.T) {
	const settings = `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"postgres-config","namespace":"database","annotations":{"config":"{\"ttl\": 10,  \"synchronous_mode\": false}"}}}`
	const sync = `{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"postgres-sync","namespace":"database"}}`
	api := newFakeAPI(t, settings, sync)
	path := "/api/v1/namespaces/database/endpoints/postgres-config"
	before := api.spec(path)
	api.before = func(int, *http.Request) { // what Patroni does
		api.mu.Lock()
		defer api.mu.Unlock()
		metadata := api.objects["/api/v1/namespaces/database/endpoints/postgres-sync"]["metadata"].(map[string]any)
		delete(metadata, "annotations")
		if strings.Contains(string(encode(api.objects[path])), `synchronous_mode\":true`) {
			metadata["annotations"] = map[string]any{"sync_standby": "postgres-1"}
		}
	}
	k, _ := started(t, t.TempDir(), api, nil)
	d := &Defence{Name: "synchronous-replication", Title: "T", Why: "W", Patches: []Patch{{Kind: "Endpoints", Namespace: "database", Name: "postgres-config",
		Document: &Document{Annotation: "config", Merge: map[string]any{"synchronous_mode": true}}, Settled: Present,
		Shown: &Shown{Name: "postgres-sync", Annotation: "sync_standby"}}}}
	if err := k.Apply(context.Background(), "database", d, "ada"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "it is applied", func() bool { return state(k, d).Applied })
	if s := state(k, d); len(s.Evidence) != 1 || !strings.Contains(s.Evidence[0], "postgres-sync shows sync_standby postgres-1") {
		t.Errorf("evidence is %q", s.Evidence)
	}
	if got := api.spec(path); !strings.Contains(got, `\"ttl\":10`) {
		t.Errorf("the rest of the document is gone: %s", got)
	}
	if err := k.AllOff(context.Background(), "ada"); err != nil {
		t.Fatal(err)
	}
	if got := api.spec(path); got != before {
		t.Errorf("not restored: %s", got)
	}
}

func TestADamagedJournalDoesNotKeepTheRestFromBeingTakenBack(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := New(Config{Dir: dir, Facts: func() Facts { return Facts{} }})
	if k == nil || err == nil || !strings.Contains(err.Error(), "must be undone by hand") {
		t.Errorf("got %v, %v", k, err)
	}
}
