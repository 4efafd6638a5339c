package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// fileStep changes a file, and a second one beside it, as a real mechanism
// changes the world: in several moves, between each of which it may be killed.
type fileStep struct {
	dir      string
	Name     string        `json:"name"`
	Original string        `json:"original"`
	Pace     time.Duration `json:"pace"`
}

func (f *fileStep) Mechanism() string { return "file" }
func (f *fileStep) Touches() []string { return []string{"file/" + f.Name} }
func (f *fileStep) path() string      { return filepath.Join(f.dir, f.Name) }

func (f *fileStep) Inject(context.Context) error {
	if err := os.WriteFile(f.path()+".mark", []byte("fault"), 0o600); err != nil {
		return err
	}
	time.Sleep(f.Pace)
	return os.WriteFile(f.path(), []byte("broken"), 0o600)
}

func (f *fileStep) Verify(context.Context) (string, error) {
	data, err := os.ReadFile(f.path())
	if err == nil && string(data) != "broken" {
		err = fmt.Errorf("it holds %q", data)
	}
	return f.Name + " is broken", err
}

func (f *fileStep) Undo(context.Context) error {
	if err := os.WriteFile(f.path(), []byte(f.Original), 0o600); err != nil {
		return err
	}
	time.Sleep(f.Pace)
	err := os.Remove(f.path() + ".mark")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *fileStep) State(context.Context) (map[string]string, error) {
	data, err := os.ReadFile(f.path())
	_, mark := os.Stat(f.path() + ".mark")
	return map[string]string{f.Name: string(data), "mark of " + f.Name: fmt.Sprint(mark == nil)}, err
}

// fileEngine is an engine whose faults are in the files of a directory.
func fileEngine(dir string, pace time.Duration) (*Engine, error) {
	j, err := OpenJournal(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, err
	}
	world := filepath.Join(dir, "world")
	plan := func(order bool) func(context.Context, Input) (Plan, error) {
		return func(_ context.Context, in Input) (Plan, error) {
			var steps []Step
			for _, name := range []string{"x", "y"} {
				f := &fileStep{dir: world, Name: in.Targets[0].Name + name, Pace: pace}
				data, err := os.ReadFile(f.path())
				if err != nil {
					return Plan{}, err
				}
				f.Original = string(data)
				steps = append(steps, f)
			}
			if order {
				return inOrder(steps...), nil
			}
			return Together(steps...), nil
		}
	}
	find := func(_ context.Context, selector string) ([]Target, error) {
		return []Target{{Type: "file", Name: selector}}, nil
	}
	return New(Config{Journal: j, Epoch: "boot",
		Kinds: []Kind{
			{Name: "together", Targets: "file", Find: find, Plan: plan(false)},
			{Name: "in-order", Targets: "file", Find: find, Plan: plan(true)},
		},
		Mechanics: func(string) Step { return &fileStep{dir: world} },
	})
}

const crashDir = "ZDL_FAULT_CRASH_DIR"

// TestMain runs the engine that is to be killed when it is told to.
func TestMain(m *testing.M) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	e, err := fileEngine(dir, 200*time.Microsecond)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go e.Run(context.Background())
	fmt.Println("ready")
	for i := 0; ; i++ { // two at a time, some healed, some that end by themselves
		kind := []string{"together", "in-order"}[i%2]
		target := string(rune('a' + i%3))
		go func() {
			a, err := e.Attack(context.Background(), Request{Kind: kind, Target: target, For: time.Duration(i%4) * time.Millisecond})
			if err == nil {
				_, _ = e.Heal(context.Background(), a.ID)
			}
		}()
		time.Sleep(time.Millisecond)
	}
}

// An engine is killed by SIGKILL at a random moment, again and again; whoever
// comes next finds in the journal what to undo. ZDL_FAULT_KILLS says how often.
func TestNothingIsLeftBehindWheneverTheEngineIsKilled(t *testing.T) {
	kills := 60
	if n, err := strconv.Atoi(os.Getenv("ZDL_FAULT_KILLS")); err == nil {
		kills = n
	}
	if testing.Short() {
		kills = 30
	}
	dir := t.TempDir()
	world := filepath.Join(dir, "world")
	if err := os.Mkdir(world, 0o700); err != nil {
		t.Fatal(err)
	}
	original := map[string]string{}
	for _, name := range []string{"ax", "ay", "bx", "by", "cx", "cy"} {
		original[name] = "the original of " + name
		if err := os.WriteFile(filepath.Join(world, name), []byte(original[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	struck, taken := 0, map[State]int{}
	for i := range kills {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), crashDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatalf("the engine did not begin: %v", err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Millisecond))))
		_ = child.Process.Kill()
		_ = child.Wait()
		if different(t, world, original) != "" {
			struck++
		}
		e, err := fileEngine(dir, 0)
		if err != nil {
			t.Fatalf("after kill %d: %v", i+1, err)
		}
		for _, a := range e.Attacks() {
			if !a.State.Over() {
				taken[a.State]++
			}
		}
		ctx, end := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); e.Run(ctx) }()
		if _, err := e.HealAll(t.Context()); err != nil {
			t.Errorf("after kill %d: %v", i+1, err)
		}
		end()
		<-ran
		for _, a := range e.Attacks() {
			if !a.State.Over() || len(a.Residue) > 0 {
				t.Fatalf("after kill %d: %s is %s, residue %q", i+1, a.ID, a.State, a.Residue)
			}
		}
		if diff := different(t, world, original); diff != "" {
			journal, _ := json.Marshal(e.Attacks())
			t.Fatalf("after kill %d: %s\n%s", i+1, diff, journal)
		}
	}
	t.Logf("%d kills, %d of them in the middle of a fault; taken over: %v", kills, struck, taken)
	if struck < kills/10 {
		t.Errorf("only %d of %d kills met a fault: that proves little", struck, kills)
	}
}

// different looks at the world without asking the engine.
func different(t *testing.T, world string, original map[string]string) string {
	t.Helper()
	entries, err := os.ReadDir(world)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(world, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if want, known := original[e.Name()]; !known || string(data) != want {
			return fmt.Sprintf("%s holds %q", e.Name(), data)
		}
	}
	if len(entries) != len(original) {
		return fmt.Sprintf("%d files, want %d", len(entries), len(original))
	}
	return ""
}
