// Package harness drives zdl as a user does, from outside: by its command line,
// its kubeconfig and its page. The scenarios beside it are built on it. Where a
// test must know more than a user is told, for example which processes belong
// to a machine, the harness asks the kernel, not zdl.
package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/kubernetes"

	"zdl/internal/lab"
)

// Lab is a lab of the tests' own. Its name is not one that a person would
// choose, so it never disturbs a lab that runs on the machine.
type Lab struct {
	Name   string
	Info   lab.Info
	Env    []string             // added to the environment of every zdl, for other directories
	Client kubernetes.Interface // by the printed kubeconfig
	dirs   lab.Dirs
	sick   string // the first test that found it broken
}

// Missing says what the tests on the real cluster lack, or "".
func Missing() string {
	switch {
	case os.Getenv("ZDL_TEST_ROOT") == "":
		return "set ZDL_TEST_ROOT=1 to run the tests on a real cluster (make test does)"
	case os.Geteuid() != 0:
		return "the tests on a real cluster need root"
	}
	if _, err := os.Stat(Binary()); err != nil {
		return "build zdl first: make build"
	}
	return ""
}

// Require skips a test, and says exactly what is missing, unless the real
// cluster can be had.
func Require(t testing.TB) {
	t.Helper()
	if reason := Missing(); reason != "" {
		t.Skip(reason)
	}
}

// Main runs the tests of a package with one of these packages at a time on this
// machine, since each keeps all cores busy. With nothing to run on, the tests
// still run, and skip themselves.
func Main(m *testing.M, before func() error, after func() error) int {
	if Missing() != "" {
		return m.Run()
	}
	turn, err := os.OpenFile(filepath.Join(os.TempDir(), "zdl-test.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		defer turn.Close()
		err = unix.Flock(int(turn.Fd()), unix.LOCK_EX)
	}
	if err == nil && before != nil {
		err = before()
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "FAIL: prepare the tests:", err)
	}
	if after != nil {
		if err := after(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: clean up after the tests:", err)
			code = 1
		}
	}
	return code
}

// Root is the top of the source tree.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Binary is the zdl under test.
func Binary() string {
	if path := os.Getenv("ZDL_BINARY"); path != "" {
		return path
	}
	return filepath.Join(Root(), "bin", "zdl")
}

// New names a lab that is not up yet, in directories that env may change
// (ZDL_STATE=…, ZDL_RUN=…, ZDL_CACHE=…).
func New(name string, env ...string) *Lab {
	l := &Lab{Name: name, Env: env, dirs: lab.DefaultDirs()}
	for _, e := range env {
		key, value, _ := strings.Cut(e, "=")
		switch key {
		case "ZDL_STATE":
			l.dirs.State = value
		case "ZDL_RUN":
			l.dirs.Run = value
		case "ZDL_CACHE":
			l.dirs.Cache = value
		}
	}
	return l
}

// Up boots the lab, or continues it.
func (l *Lab) Up(ctx context.Context, args ...string) error {
	r, err := l.Try(ctx, append([]string{"up", "-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("zdl up --name %s: exit %d\n%s\nthe end of its daemon's log:\n%s", l.Name, r.Code, r.Stderr, l.daemonLog())
	}
	if err := json.Unmarshal([]byte(r.Stdout), &l.Info); err != nil {
		return fmt.Errorf("zdl up -o json printed no JSON: %w\n%s", err, r.Stdout)
	}
	l.Client, err = l.client()
	return err
}

// daemonLog is the end of what the lab's daemons said.
func (l *Lab) daemonLog() string {
	data, err := os.ReadFile(filepath.Join(l.StateDir(), "daemon.log"))
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-6000):])
}

// Join uses the lab as it runs already.
func (l *Lab) Join(ctx context.Context) error {
	r, err := l.Try(ctx, "status", "-o", "json")
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("zdl status --name %s: exit %d\n%s", l.Name, r.Code, r.Stderr)
	}
	var status struct {
		Lab struct{ Info *lab.Info } `json:"lab"`
	}
	status.Lab.Info = &l.Info
	if err == nil {
		err = json.Unmarshal([]byte(r.Stdout), &status)
	}
	if err == nil {
		l.Client, err = l.client()
	}
	return err
}

// Down removes the lab.
func (l *Lab) Down(ctx context.Context, args ...string) (Result, error) {
	r, err := l.Try(ctx, append([]string{"down"}, args...)...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("zdl down --name %s: exit %d\n%s", l.Name, r.Code, r.Stderr)
	}
	return r, err
}

// StateDir is where the lab keeps what survives a reboot.
func (l *Lab) StateDir() string { return filepath.Join(l.dirs.State, l.Name) }

// RunDir is where the lab keeps what does not.
func (l *Lab) RunDir() string { return filepath.Join(l.dirs.Run, l.Name) }

// Dirs are the lab's directories.
func (l *Lab) Dirs() lab.Dirs { return l.dirs }
