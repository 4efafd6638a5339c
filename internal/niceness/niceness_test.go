package niceness

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mine skips a test that needs the right to be less nice, and puts things back.
func mine(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := get(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := set(0, Instrument); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		t.Skip("this user may not")
	} else if err != nil {
		t.Fatal(err)
	}
	if err := set(0, before); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsStartedMeanwhileInheritsIt(t *testing.T) {
	mine(t)
	cmd := exec.Command("cat", "/proc/self/stat")
	var out strings.Builder
	cmd.Stdout = &out
	if err := During(Instrument, cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	// proc_pid_stat(5): field 19, the 17th after the name in brackets.
	_, rest, _ := strings.Cut(out.String(), ") ")
	if nice := strings.Fields(rest)[16]; nice != strconv.Itoa(Instrument) {
		t.Errorf("the child's niceness is %s, want %d", nice, Instrument)
	}
	if now, err := get(0); err != nil || now == Instrument {
		t.Errorf("this thread's niceness is %d, %v afterwards", now, err)
	}
}

func TestRaiseReachesEveryThread(t *testing.T) {
	mine(t)
	t.Cleanup(func() {
		threads, _ := os.ReadDir("/proc/self/task")
		for _, thread := range threads {
			tid, _ := strconv.Atoi(thread.Name())
			_ = set(tid, 0)
		}
	})
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
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		tid, _ := strconv.Atoi(thread.Name())
		if nice, err := get(tid); err == nil && nice != Instrument {
			t.Errorf("thread %d has niceness %d", tid, nice)
		}
	}
}
