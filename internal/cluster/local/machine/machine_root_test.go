package machine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zdl/internal/cluster/local/cgroup"
)

// initBinary is built once for all tests of the package.
var initBinary string

func TestMain(m *testing.M) {
	if os.Getenv("ZDL_TEST_ROOT") == "" || os.Getenv("ZDL_TEST_STARTER") != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "zdl-machine-test")
	if err != nil {
		panic(err)
	}
	initBinary = filepath.Join(dir, "zdl-init")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", initBinary, "zdl/cmd/zdl-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic("build zdl-init: " + string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: booting a machine needs namespaces, mounts, loop devices and cgroups")
	}
}

// spec is a small machine with a disk and one service. It is destroyed with the
// test, which then checks that nothing is left of it.
func spec(t *testing.T) Spec {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	s := Spec{
		Lab: "machine-test", Name: "m-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))[4:],
		StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"), InitBinary: initBinary,
		Disk:     &Disk{Image: filepath.Join(dir, "state", "disk.img"), Size: 64 << 20},
		Services: []Service{{Name: "sleeper", Argv: []string{"/usr/bin/sleep", "infinity"}}},
	}
	t.Cleanup(func() {
		if err := Destroy(context.Background(), s.RunDir); err != nil {
			t.Errorf("destroy: %v", err)
		}
		noResidue(t, s)
	})
	return s
}

// noResidue checks that a destroyed machine left nothing but its state.
func noResidue(t *testing.T, s Spec) {
	t.Helper()
	if _, err := os.Stat(s.RunDir); !os.IsNotExist(err) {
		t.Errorf("the run directory is left: %v", err)
	}
	system, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	if left := system.Leftovers(s.Lab); len(left) > 0 {
		t.Errorf("control groups are left: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), s.RunDir) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	backing, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range backing {
		if b, _ := os.ReadFile(f); strings.HasPrefix(string(b), s.StateDir) {
			t.Errorf("loop device is left: %s holds %s", f, b)
		}
	}
	// Its processes carry its run directory on their command line, or were
	// its first process's children and died with it.
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range commands {
		if b, _ := os.ReadFile(f); strings.Contains(string(b), s.RunDir) {
			t.Errorf("a process is left: %s %q", f, b)
		}
	}
}

func boots(t *testing.T, s Spec) *Machine {
	t.Helper()
	m, err := Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// in runs a shell command in the machine and returns what it prints.
func in(t *testing.T, m *Machine, script string) string {
	t.Helper()
	out, err := tryIn(t, m, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func tryIn(t *testing.T, m *Machine, script string) (string, error) {
	t.Helper()
	cmd, err := m.Command(t.Context(), "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually waits until ok, at most ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestMachineBootsRunsCommandsAndPowersOff(t *testing.T) {
	s := spec(t)
	began := time.Now()
	m := boots(t, s)
	t.Logf("first boot, disk included: %v", time.Since(began))
	if got := in(t, m, "hostname"); got != s.Name {
		t.Errorf("hostname = %q, want %q", got, s.Name)
	}
	eventually(t, "the service runs", func() bool {
		services, err := m.Services(t.Context())
		return err == nil && services[0].State == "running"
	})
	began = time.Now()
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("power off: %v", time.Since(began))
	if m.Running() {
		t.Error("it still runs")
	}
}
