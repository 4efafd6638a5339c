package niceness

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mine skips a test that needs the right to be less nice, and puts things back.
func mine(t *testing.T) {
	t.Helper()
	ordinary := func(now *unix.SchedAttr) bool { return now.Policy == unix.SCHED_NORMAL && now.Nice == 0 }
	err := threads(common(0), ordinary)
	if err == nil {
		err = During(Instrument, func() error {
			now, err := unix.SchedGetAttr(0, 0)
			if err == nil && now.Nice != Instrument {
				return unix.EPERM
			}
			return err
		})
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		t.Skip("this user may not")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := threads(common(0), ordinary); err != nil {
			t.Error(err)
		}
	})
}

// all asserts that every thread of this process is so.
func all(t *testing.T, what string, so func(now *unix.SchedAttr) bool) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < 2 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if now, err := unix.SchedGetAttr(tid, 0); err == nil && !so(now) {
			t.Errorf("%s: thread %d has %+v", what, tid, now)
		}
	}
}

func TestWhatIsStartedMeanwhileInheritsIt(t *testing.T) {
	mine(t)
	restore, err := Realtime()
	if err != nil {
		t.Skip(err) // a kernel whose control groups give no time of that kind
	}
	defer restore()
	cmd := exec.Command("cat", "/proc/self/stat")
	var out strings.Builder
	cmd.Stdout = &out
	if err := During(3, cmd.Run); err != nil {
		t.Fatal(err)
	}
	// proc_pid_stat(5): fields 19 and 41, of which the first two are before ") ".
	_, rest, _ := strings.Cut(out.String(), ") ")
	f := strings.Fields(rest)
	if nice, policy := f[19-3], f[41-3]; nice != "3" || policy != "0" {
		t.Errorf("the child has niceness %s and policy %s, want 3 and 0", nice, policy)
	}
	all(t, "afterwards", func(now *unix.SchedAttr) bool { return now.Policy == unix.SCHED_RR })
}

func TestRealtimeReachesEveryThreadAndEnds(t *testing.T) {
	mine(t)
	restore, err := Realtime()
	if err != nil {
		t.Skip(err)
	}
	all(t, "meanwhile", func(now *unix.SchedAttr) bool { return now.Policy == unix.SCHED_RR && now.Priority == 1 })
	restore()
	all(t, "afterwards", func(now *unix.SchedAttr) bool { return now.Policy == unix.SCHED_NORMAL })
}

func TestRaiseReachesEveryThreadAndTheSession(t *testing.T) {
	mine(t)
	before, _ := os.ReadFile(autogroup)
	restore, err := Raise()
	if err != nil {
		t.Fatal(err)
	}
	if on, _ := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled"); string(on) == "1\n" && strings.Contains(string(before), " nice ") {
		if now, _ := os.ReadFile(autogroup); !strings.HasSuffix(string(now), " nice -10\n") {
			t.Errorf("the session is %q", now)
		}
	}
	restore()
	if after, _ := os.ReadFile(autogroup); string(after) != string(before) {
		t.Errorf("the session was %q and is %q afterwards", before, after)
	}
	all(t, "raised", func(now *unix.SchedAttr) bool { return now.Nice == Instrument })
}
