package machine

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// status is the state of one service.
func status(t *testing.T, m *Machine, name string) ServiceStatus {
	t.Helper()
	all, err := m.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no service %s in %v", name, all)
	return ServiceStatus{}
}

func TestServicesAreKeptRunningAndCanBeStopped(t *testing.T) {
	s := spec(t)
	s.Services = append(s.Services, Service{
		Name: "talker", Argv: []string{"/bin/sh", "-c", `echo "I am $WHO"; exit 3`}, Env: []string{"WHO=talker"},
	})
	m := boots(t, s)
	ctx := t.Context()

	eventually(t, "a service that exits is started again", func() bool { return status(t, m, "talker").Starts >= 2 })
	if got := status(t, m, "talker").LastExit; got != "exited with code 3" {
		t.Errorf("it tells %q", got)
	}
	if log := in(t, m, "cat /var/log/talker.log"); !strings.Contains(log, "I am talker\n") {
		t.Errorf("its log holds %q", log)
	}

	eventually(t, "the sleeper runs", func() bool { return status(t, m, "sleeper").State == "running" })
	before := status(t, m, "sleeper").PID
	if err := m.SignalService(ctx, "sleeper", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a crashed service is back", func() bool {
		now := status(t, m, "sleeper")
		return now.State == "running" && now.PID != before && now.LastExit == "killed by SIGKILL"
	})
	if err := m.StopService(ctx, "sleeper"); err != nil {
		t.Fatal(err)
	}
	if now := status(t, m, "sleeper"); now.State != "stopped" || now.PID != 0 {
		t.Errorf("after stop: %+v", now)
	}
	if err := m.StartService(ctx, "sleeper"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs again", func() bool { return status(t, m, "sleeper").State == "running" })
	before = status(t, m, "sleeper").PID
	if err := m.RestartService(ctx, "sleeper"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was restarted", func() bool {
		now := status(t, m, "sleeper")
		return now.State == "running" && now.PID != before
	})
	if err := m.StopService(ctx, "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("stop of an unknown service: %v", err)
	}
}

func TestServiceWaitsForFilesAndForSocketsThatAccept(t *testing.T) {
	s := spec(t)
	s.Services = []Service{
		{Name: "file", Argv: []string{"/bin/sleep", "infinity"}, WaitFor: []string{"/run/flag"}},
		{Name: "socket", Argv: []string{"/bin/sleep", "infinity"}, WaitFor: []string{"/run/server.sock"}},
	}
	m := boots(t, s)
	// A socket nobody listens on, as a dead server leaves it.
	in(t, m, `perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "/run/server.sock", Listen => 1) or die $!'; test -S /run/server.sock`)
	if got := status(t, m, "file"); got.State != "waiting" {
		t.Errorf("without its file: %+v", got)
	}
	in(t, m, "touch /run/flag")
	eventually(t, "it starts with its file", func() bool { return status(t, m, "file").State == "running" })
	if got := status(t, m, "socket"); got.State != "waiting" {
		t.Errorf("a dead socket counted: %+v", got)
	}
	server, err := m.Command(t.Context(), "/usr/bin/perl", "-MIO::Socket::UNIX", "-e",
		`unlink "/run/server.sock"; $s = IO::Socket::UNIX->new(Local => "/run/server.sock", Listen => 5) or die $!; sleep 1000`)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	eventually(t, "it starts when its socket accepts", func() bool { return status(t, m, "socket").State == "running" })
}

func TestOrphansAreReaped(t *testing.T) {
	m := boots(t, spec(t))
	in(t, m, "for i in 1 2 3 4 5; do (setsid sleep 0.01 &) ; done")
	eventually(t, "the orphans ended", func() bool { return !sleeping(t, m, "0.01") })
	if zombies := in(t, m, "ps -eo stat= | grep -c ^Z || true"); zombies != "0" {
		t.Errorf("%s zombies are left", zombies)
	}
}

func TestFrozenMachineHangsAndCanStillLosePower(t *testing.T) {
	s := spec(t)
	s.Services = []Service{{Name: "ticker", Argv: []string{"/bin/sh", "-c", "while :; do echo tick >> /run/ticks; sleep 0.01; done"}}}
	m := boots(t, s)
	ticks := func() int64 {
		st, err := os.Stat(m.Path("/run/ticks"))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	eventually(t, "it ticks", func() bool { return ticks() > 10 })
	if err := m.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Command(t.Context(), "true"); err == nil {
		t.Error("a command was let into a frozen machine, where it would hang")
	}
	at := ticks()
	if err := m.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ticks again", func() bool { return ticks() > at })
	inside, err := m.Command(t.Context(), "sleep", "infinity") // hangs with it
	if err != nil {
		t.Fatal(err)
	}
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command runs", func() bool { return sleeping(t, m, "infinity") })
	if err := m.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("power off of a frozen machine with a command in it took %v", took)
	}
	_ = inside.Wait()
	if m.Running() {
		t.Error("it survived the power cut")
	}
}
