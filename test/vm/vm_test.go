package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// interrupted ends with the first SIGINT or SIGTERM, so that a test that was
// broken off still takes its machine down.
var interrupted context.Context

func TestMain(m *testing.M) {
	var stop context.CancelFunc
	interrupted, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := m.Run()
	stop()
	os.Exit(code)
}

func needVM(t *testing.T) {
	t.Helper()
	if os.Getenv("ZDL_TEST_VM") == "" {
		t.Skip("set ZDL_TEST_VM=1 (and run as root the first time) to boot a virtual machine; it takes both cores for minutes")
	}
}

// bootVM runs a command in the machine and fails the test unless it exits
// with 0. The serial line is shown as it comes.
func bootVM(t *testing.T, run Run) string {
	t.Helper()
	var seen bytes.Buffer
	run.Output = &tee{to: []*os.File{os.Stdout}, copy: &seen}
	run.Accel = os.Getenv("ZDL_VM_ACCEL")
	start := time.Now()
	code, err := Boot(interrupted, run, os.Stderr)
	if err != nil {
		t.Fatalf("boot: %v", err)
	}
	t.Logf("the machine ran for %.1f s", time.Since(start).Seconds())
	if code != 0 {
		t.Fatalf("%s exited with %d in the guest", strings.Join(run.Command, " "), code)
	}
	return seen.String()
}

type tee struct {
	to   []*os.File
	copy *bytes.Buffer
}

func (w *tee) Write(p []byte) (int, error) {
	for _, f := range w.to {
		f.Write(p)
	}
	return w.copy.Write(p)
}

// module is the root of the Go module.
func module(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// compile builds the tests of a package for the guest and returns the binary's name in dir.
func compile(t *testing.T, dir, pkg string) string {
	t.Helper()
	name := strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-") + ".test"
	cmd := exec.CommandContext(interrupted, "go", "test", "-c", "-o", filepath.Join(dir, name), pkg)
	cmd.Dir = module(t)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile the tests of %s: %v\n%s", pkg, err, out)
	}
	return name
}

// TestKernel shows that the machine is what the smoke test needs it to be.
func TestKernel(t *testing.T) {
	needVM(t)
	dir := t.TempDir()
	name := compile(t, dir, "./test/vm/guest")
	bootVM(t, Run{
		Command: []string{"/host/" + name, "-test.v", "-test.run", "^Test(Kernel|Trace)", "-test.timeout", "8m"},
		Env:     []string{"ZDL_TEST_IN_GUEST=1"},
		Shares:  []Share{{dir, "/host"}},
		Timeout: 10 * time.Minute,
	})
}

// TestSmoke boots a lab of the profile small in the machine.
func TestSmoke(t *testing.T) {
	needVM(t)
	root := module(t)
	dir := t.TempDir()
	name := compile(t, dir, "./test/vm/guest")
	// Copies: the guest reads them for half an hour, and a build meanwhile would
	// change what it runs.
	for _, program := range []string{"zdl", "zdl-init"} {
		data, err := os.ReadFile(filepath.Join(root, "bin", program))
		if err != nil {
			t.Fatalf("the lab is not built (run: make build): %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, program), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bootVM(t, Run{
		Command:   []string{"/host/" + name, "-test.v", "-test.run", "^TestSmoke$", "-test.timeout", "50m"},
		Env:       []string{"ZDL_TEST_IN_GUEST=1", "PATH=/host:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Shares:    []Share{{dir, "/host"}},
		Artifacts: true,
		Timeout:   55 * time.Minute,
	})
}

// TestRootTests runs the tests that need root and the kernel, under cgroup v2.
// ZDL_TEST_VM_ONLY=machine runs those of one package.
func TestRootTests(t *testing.T) {
	needVM(t)
	root := module(t)
	var files []string
	if err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, "_root_test.go") {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	standIn(t, dir, root)
	script := "failed=\n"
	seen := map[string]bool{}
	for _, file := range files {
		pkg, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		if only := os.Getenv("ZDL_TEST_VM_ONLY"); seen[pkg] || only != "" && filepath.Base(pkg) != only {
			continue
		}
		seen[pkg] = true
		name := compile(t, dir, "./"+pkg)
		script += fmt.Sprintf("cd /host/src/%s && echo '=== %s' && /host/test/%s -test.v -test.timeout 20m || failed=\"$failed %s\"\n", pkg, pkg, name, pkg)
	}
	script += `[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }`
	bootVM(t, Run{
		Command: []string{"sh", "-c", script},
		Env:     []string{"ZDL_TEST_ROOT=1", "TMPDIR=/var/tmp", "PATH=/usr/sbin:/usr/bin:/host/test/stand-in"},
		Shares:  []Share{{dir, "/host/test"}, {root, "/host/src"}},
		Timeout: 40 * time.Minute,
	})
}

// standIn puts a program named go into dir for tests that build the node's
// init themselves: the guest has no toolchain, so it hands out what the host has
// built.
func standIn(t *testing.T, dir, root string) {
	t.Helper()
	dir = filepath.Join(dir, "stand-in")
	cmd := exec.CommandContext(interrupted, "go", "build", "-o", dir+"/", "./cmd/zdl-init")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build zdl-init for the guest: %v\n%s", err, out)
	}
	const script = `#!/bin/sh
for arg; do
	[ "$last" = -o ] && target=$arg
	last=$arg
done
exec cp "${0%/*}/${last##*/}" "$target"
`
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestExitCodeComesBack covers the ways in which a guest can end.
func TestExitCodeComesBack(t *testing.T) {
	needVM(t)
	for name, c := range map[string]struct {
		command []string
		code    int
		err     string
	}{
		"a code":     {[]string{"sh", "-c", "exit 7"}, 7, ""},
		"a signal":   {[]string{"sh", "-c", "kill -9 $$"}, 137, ""},
		"no program": {[]string{"/nowhere"}, -1, "/nowhere"},
		"a panic":    {[]string{"sh", "-c", "echo c > /proc/sysrq-trigger; sleep 60"}, -1, ErrNoExit.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			code, err := Boot(interrupted, Run{Command: c.command, Timeout: 2 * time.Minute}, os.Stderr)
			if code != c.code || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %d, %v; want %d, %q", code, err, c.code, c.err)
			}
		})
	}
}

// TestEndedMachineLeavesNothing ends a machine in the middle of its work.
func TestEndedMachineLeavesNothing(t *testing.T) {
	needVM(t)
	ctx, cancel := context.WithCancel(interrupted)
	defer cancel()
	started := &waiter{word: "at work", found: cancel}
	_, err := Boot(ctx, Run{Command: []string{"sh", "-c", "echo at work; sleep 600"}, Output: started, Timeout: 2 * time.Minute}, os.Stderr)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v; want context.Canceled", err)
	}
	work := filepath.Join(CacheDir(), "run")
	if _, err := os.Stat(work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", work, err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		if args, err := os.ReadFile(path); err == nil && bytes.Contains(args, []byte(work)) {
			t.Errorf("%s still runs: %q", path, args)
		}
	}
}

// waiter calls found when word was written.
type waiter struct {
	word  string
	found func()
	seen  []byte
}

func (w *waiter) Write(p []byte) (int, error) {
	if w.seen = append(w.seen, p...); bytes.Contains(w.seen, []byte("\n"+w.word)) {
		w.found()
	}
	return len(p), nil
}

func TestArchiveIsNewc(t *testing.T) {
	var got bytes.Buffer
	a := newArchive(&got)
	a.dir("d")
	a.file("d/f", 0o644, []byte("hello"))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	entry := func(inode, mode, size, name int) string {
		return fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%032x%08x%08x", inode, mode, 0, 0, 1, 0, size, 0, name, 0)
	}
	want := entry(1, 0o40755, 0, 2) + "d\x00" +
		entry(2, 0o100644, 5, 4) + "d/f\x00\x00\x00" + "hello\x00\x00\x00" +
		entry(0, 0, 0, 11) + "TRAILER!!!\x00\x00\x00\x00"
	if got.String() != want {
		t.Errorf("got  %q\nwant %q", got.String(), want)
	}
}

func TestPayloadOfKernelImage(t *testing.T) {
	const begin = 3*512 + 64 // two setup sectors and the boot sector, then an offset
	packed := []byte("\xfd7zXZ\x00 the kernel")
	whole := make([]byte, begin+len(packed)+4)
	whole[0x1f1] = 2
	copy(whole[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(whole[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(whole[0x248:], 64)
	binary.LittleEndian.PutUint32(whole[0x24c:], uint32(len(packed)+4))
	copy(whole[begin:], packed)
	if got, err := payload(whole); err != nil || !bytes.Equal(got, packed) {
		t.Errorf("got %q, %v; want %q", got, err, packed)
	}
	for what, break_ := range map[string]func([]byte){
		"no Linux boot header": func(b []byte) { b[0x202] = 'X' },
		"boot protocol":        func(b []byte) { binary.LittleEndian.PutUint16(b[0x206:], 0x207) },
		"outside the file":     func(b []byte) { binary.LittleEndian.PutUint32(b[0x24c:], 1<<20) },
		"not packed by xz":     func(b []byte) { b[begin] = 0 },
	} {
		broken := bytes.Clone(whole)
		break_(broken)
		if _, err := payload(broken); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v; want %q", err, what)
		}
	}
}

func TestReportOfGuest(t *testing.T) {
	for report, want := range map[string]struct {
		code int
		err  string
	}{
		"exit 0\r\n":               {0, ""},
		"exit 137\n":               {137, ""},
		"error mount /: no disk\n": {-1, "no disk"},
		"":                         {-1, ErrNoExit.Error()},
		"exi":                      {-1, ErrNoExit.Error()},
		"noise\nexit 3\nexit 4\n":  {3, ""},
		"exit many\n":              {-1, "strange exit code"},
	} {
		code, err := parseReport([]byte(report))
		if code != want.code || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%q: got %d, %v; want %d, %q", report, code, err, want.code, want.err)
		}
	}
}
