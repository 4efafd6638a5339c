package shoptest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Server is a real store that a test has started.
type Server struct {
	Dir  string // of its own, empty at first
	Port string

	t      *testing.T
	name   string
	run    *exec.Cmd
	launch func() *exec.Cmd
}

// Program says how to run a store in a directory, at a port of 127.0.0.1. All but
// Name may be nil.
type Program struct {
	Name    string                          // or path
	Prepare func(dir, port string) []string // command that runs before it, once
	Args    func(dir, port string) []string
	Env     func(dir, port string) []string
}

// Start runs a store for one test, if it may and if the program is installed;
// otherwise the test is skipped.
func Start(t *testing.T, program Program) *Server {
	t.Helper()
	none := func(string, string) []string { return nil }
	if program.Args == nil {
		program.Args = none
	}
	if program.Env == nil {
		program.Env = none
	}
	if os.Getenv("ZDL_TEST_ROOT") != "1" {
		t.Skip("starts a real store: run with ZDL_TEST_ROOT=1")
	}
	path, err := exec.LookPath(program.Name)
	if err != nil {
		t.Skipf("no program %s is installed", program.Name)
	}
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if u, err := user.Lookup("nobody"); err == nil && os.Geteuid() == 0 { // no store likes to be root
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	command := func(path string, args ...string) *exec.Cmd {
		c := exec.Command(path, args...)
		c.Dir, c.SysProcAttr, c.Env = dir, attributes, append(append(os.Environ(), "HOME="+dir), program.Env(dir, port)...)
		return c
	}
	if program.Prepare != nil {
		words := program.Prepare(dir, port)
		if _, err := exec.LookPath(words[0]); err != nil {
			t.Skipf("no program %s is installed", words[0])
		}
		if out, err := command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", words, err, out)
		}
	}
	s := &Server{Dir: dir, Port: port, t: t, name: program.Name, launch: func() *exec.Cmd { return command(path, program.Args(dir, port)...) }}
	s.On()
	t.Cleanup(func() {
		s.Off()
		if said, err := os.ReadFile(filepath.Join(dir, "output")); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", program.Name, said[max(0, len(said)-4000):])
		}
	})
	return s
}

// On starts the server, on the data that it had.
func (s *Server) On() {
	s.t.Helper()
	s.run = s.launch()
	output, err := os.OpenFile(filepath.Join(s.Dir, "output"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	s.run.Stdout, s.run.Stderr = output, output
	if err := s.run.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.name, err)
	}
}

// Off kills it: no goodbye, nothing written that was not.
func (s *Server) Off() {
	if s.run == nil {
		return
	}
	_ = syscall.Kill(-s.run.Process.Pid, syscall.SIGKILL) // with its children
	_ = s.run.Wait()
	s.run = nil
}

// Wait repeats do until it succeeds.
func Wait(t *testing.T, do func(context.Context) error) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := do(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
