package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer may be written by one goroutine while another reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestStarter is not a test: it is the program that other tests kill. It starts
// the machine that is described on its standard input.
func TestStarter(t *testing.T) {
	if os.Getenv("ZDL_TEST_STARTER") == "" {
		t.Skip("a part of other tests")
	}
	var s Spec
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		t.Fatal(err)
	}
	fmt.Println("starting")
	if _, err := Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	fmt.Println("started")
	select {}
}

// startElsewhere starts the machine from another process, which is killed with
// SIGKILL so long after it began to.
func startElsewhere(t *testing.T, s Spec, lifetime time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestStarter$")
	cmd.Env = append(os.Environ(), "ZDL_TEST_STARTER=1")
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(text)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	word := "starting"
	if lifetime == 0 {
		word = "started"
	}
	eventually(t, "the other process says "+word, func() bool { return strings.Contains(out.String(), word) })
	time.Sleep(lifetime) // the moment of the crash is what is tested
}

func TestMachineOutlivesItsStarterAndIsAdopted(t *testing.T) {
	s := spec(t)
	startElsewhere(t, s, 0)
	m, err := Find(s.RunDir)
	if err != nil {
		t.Fatal(err)
	}
	again := boots(t, s)
	if again.PID() != m.PID() || again.BootID() != m.BootID() {
		t.Error("Start booted a second machine instead of adopting the running one")
	}
	if got := in(t, again, "hostname"); got != s.Name {
		t.Errorf("hostname %q", got)
	}
}

func TestStarterKilledAtAnyMomentIsCleanedUpAfter(t *testing.T) {
	s := spec(t)
	for lifetime := time.Millisecond; lifetime < 60*time.Millisecond; lifetime += 3 * time.Millisecond {
		startElsewhere(t, s, lifetime)
		if int(lifetime/time.Millisecond)%2 == 0 { // go on …
			m := boots(t, s)
			if got := in(t, m, "hostname"); got != s.Name {
				t.Errorf("killed after %v: hostname %q", lifetime, got)
			}
		}
		if err := Destroy(t.Context(), s.RunDir); err != nil { // … or give up
			t.Fatalf("killed after %v: %v", lifetime, err)
		}
		noResidue(t, s)
		if t.Failed() {
			t.Fatalf("killed after %v", lifetime)
		}
	}
}

func TestStartAtTheSameTimeBootsOneMachine(t *testing.T) {
	s := spec(t)
	var all sync.WaitGroup
	pids := make([]int, 5)
	for i := range pids {
		all.Go(func() {
			m, err := Start(t.Context(), s)
			if err != nil {
				t.Error(err)
				return
			}
			pids[i] = m.PID()
		})
	}
	all.Wait()
	for _, pid := range pids {
		if pid != pids[0] {
			t.Errorf("first processes %v", pids)
		}
	}
}

func TestFailedBootSaysWhyAndLeavesNothing(t *testing.T) {
	s := spec(t)
	s.Binds = []Bind{{Source: "/no/such/source", Target: "/x"}}
	_, err := Start(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "/no/such/source") {
		t.Errorf("got %v, want an error that names what is missing", err)
	}
	if _, err := Find(s.RunDir); !errors.Is(err, ErrOff) {
		t.Errorf("Find: %v, want ErrOff", err)
	}
	s.Binds = nil
	boots(t, s) // and the next try works
}

func TestPowerCutWithManyProcessesAndDirtyDisk(t *testing.T) {
	s := spec(t)
	s.Disk.Size = 512 << 20
	m := boots(t, s)
	in(t, m, `for i in $(seq 40); do setsid sleep infinity </dev/null >/dev/null 2>&1 & done
for h in /sys/fs/cgroup/*/; do mkdir -p $h/kubepods/pod1/c1 2>/dev/null; done
dd if=/dev/zero of=/var/dirty bs=1M count=200 status=none`)
	pids, err := m.Cgroup().Procs()
	if err != nil || len(pids) < 42 {
		t.Fatalf("%d processes, %v", len(pids), err)
	}
	began := time.Now()
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("power off with %d processes and 200 MB unwritten: %v", len(pids), took)
	if took > 3*time.Second { // 100 ms is the aim; the rest is for busy and for emulated machines
		t.Errorf("power off took %v", took)
	}
	for _, pid := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
			t.Errorf("process %d is still there", pid)
		}
	}
	if left := m.Cgroup().System.Leftovers(s.Lab); len(left) > 0 {
		t.Errorf("control groups are left: %v", left)
	}
	began = time.Now()
	boots(t, s)
	t.Logf("boot after it, journal replayed: %v", time.Since(began))
}

func TestManyMachinesTogether(t *testing.T) {
	first := spec(t)
	specs := []Spec{first}
	for i := range 5 {
		s := first
		dir := t.TempDir()
		s.Name = fmt.Sprintf("m%d", i)
		s.StateDir, s.RunDir = filepath.Join(dir, "state"), filepath.Join(dir, "run")
		s.Disk = &Disk{Image: filepath.Join(dir, "state", "disk.img"), Size: 64 << 20}
		specs = append(specs, s)
	}
	each := func(what string, do func(Spec) error) {
		t.Helper()
		began := time.Now()
		var all sync.WaitGroup
		for _, s := range specs {
			all.Go(func() {
				if err := do(s); err != nil {
					t.Errorf("%s %s: %v", what, s.Name, err)
				}
			})
		}
		all.Wait()
		t.Logf("%s %d machines: %v", what, len(specs), time.Since(began))
	}
	start := func(s Spec) error { _, err := Start(t.Context(), s); return err }
	each("first start of", start)
	m, err := Find(specs[1].RunDir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", m.PID())); err == nil {
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "Pss") {
				t.Logf("zdl-init, one of %d: %s", len(specs), strings.TrimSpace(line))
			}
		}
	}
	off := func(s Spec) error {
		m, err := Find(s.RunDir)
		if err != nil {
			return err
		}
		return m.PowerOff(t.Context())
	}
	each("power off", off)
	each("start", start)
	each("destroy", func(s Spec) error { return Destroy(context.Background(), s.RunDir) })
	for _, s := range specs {
		noResidue(t, s)
	}
}
