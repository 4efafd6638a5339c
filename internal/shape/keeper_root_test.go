package shape

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const helperArg = "shape-helper"

// TestMain lets this test binary be the helper process, as zdl-init is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == helperArg {
		debug.SetGCPercent(-1)
		if err := Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (w *wire) keep(t testing.TB, l Link) *Keeper {
	t.Helper()
	k, err := Keep([]string{"/proc/self/exe", helperArg}, Config{Links: []Link{w.link(l)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.End(); <-k.Gone() })
	return k
}

// roundTrip is the median of some echoes.
func (w *wire) roundTrip(t testing.TB) time.Duration {
	t.Helper()
	e, err := Ping{Netns: w.near.path, To: w.far.target(), Count: 3, Gap: time.Millisecond, Wait: time.Second}.Do()
	if err != nil {
		t.Fatal(err)
	}
	if e.Received == 0 {
		return time.Hour
	}
	return e.Median()
}

// warm makes the ends know each other's address, so that ARP is not measured.
func (w *wire) warm(t testing.TB) {
	t.Helper()
	until(t, "the wire works", func() bool { return w.roundTrip(t) < time.Second })
}

func TestAKilledHelperLeavesAWorkingLinkAndNothingElse(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	both := &Params{Delay: 30 * time.Millisecond, Loss: 0.01}
	for round := range 25 {
		h, err := startHelper([]string{"/proc/self/exe", helperArg}, Config{Links: []Link{{
			Netns: w.near.path, Interface: w.near.name, Ingress: both, Egress: both}}})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		ended := make(chan struct{})
		go func() { // frames are under way when it dies
			defer close(ended)
			Ping{Netns: w.near.path, To: w.far.target(), Count: 200, Gap: 200 * time.Microsecond, Size: 1000}.Do()
		}()
		time.Sleep(time.Duration(rand.Int64N(int64(40 * time.Millisecond)))) // any moment will do
		h.cmd.Process.Kill()
		<-h.exited
		begin := time.Now()
		until(t, "the link works again", func() bool { return w.roundTrip(t) < 10*time.Millisecond })
		healed := time.Since(begin)
		<-ended
		until(t, "nothing is left", func() bool { return len(w.residue(t)) == 0 })
		if healed > 2*time.Second {
			t.Errorf("round %d: the link worked again only after %v", round, healed)
		}
	}
}

func TestAHelperKilledWhileItStartsLeavesNothing(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	both := &Params{Delay: 30 * time.Millisecond}
	line, err := json.Marshal(Config{Links: []Link{{Netns: w.near.path, Interface: w.near.name, Ingress: both, Egress: both}}})
	if err != nil {
		t.Fatal(err)
	}
	line = append(line, '\n')
	for range 25 {
		cmd := exec.Command("/proc/self/exe", helperArg)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(line); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(60 * time.Millisecond)))) // any moment will do
		cmd.Process.Kill()
		cmd.Wait()
		until(t, "nothing is left", func() bool { return len(w.residue(t)) == 0 })
	}
}

func TestTheKeeperReplacesAHelperThatDiesOrStandsStill(t *testing.T) {
	for name, signal := range map[string]unix.Signal{"killed": unix.SIGKILL, "stopped": unix.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			needRelay(t, w)
			w.warm(t)
			k := w.keep(t, Link{Egress: &Params{Delay: 40 * time.Millisecond}})
			if rtt := w.roundTrip(t); rtt < 40*time.Millisecond {
				t.Fatalf("round trip %v before", rtt)
			}
			if err := unix.Kill(k.helper.cmd.Process.Pid, signal); err != nil {
				t.Fatal(err)
			}
			until(t, "another helper", func() bool { return k.Restarts() == 1 })
			until(t, "the delay is back", func() bool { rtt := w.roundTrip(t); return rtt >= 40*time.Millisecond && rtt < time.Minute })
			begin := time.Now()
			if err := k.End(); err != nil {
				t.Fatal(err)
			}
			t.Logf("ended in %v", time.Since(begin))
			if rtt := w.roundTrip(t); rtt > 20*time.Millisecond {
				t.Errorf("round trip %v after the end", rtt)
			}
			<-k.Gone()
			t.Logf("gone after %v", time.Since(begin))
			if left := w.residue(t); len(left) > 0 {
				t.Error(left)
			}
		})
	}
}

func TestAHelperThatCannotShapeSaysWhy(t *testing.T) {
	needRoot(t)
	_, err := Keep([]string{"/proc/self/exe", helperArg}, Config{Links: []Link{{Interface: "nosuch0", Egress: &Params{Loss: 1}}}})
	if err == nil {
		t.Fatal("an interface that is not there was shaped")
	}
	t.Log(err)
}

// BenchmarkCall measures from the call to the effect, and from the order to end
// until frames pass as before and until nothing is left.
func BenchmarkCall(b *testing.B) {
	for name, l := range map[string]Link{
		"egress": {Egress: &Params{Delay: 50 * time.Millisecond}},
		"both":   {Egress: &Params{Delay: 50 * time.Millisecond}, Ingress: &Params{Delay: 50 * time.Millisecond}},
	} {
		b.Run(name, func(b *testing.B) {
			w := newWire(b)
			w.warm(b)
			l := w.link(l)
			var in, out, gone []time.Duration
			for range 200 {
				begin := time.Now()
				k, err := Keep([]string{"/proc/self/exe", helperArg}, Config{Links: []Link{l}})
				if err != nil {
					b.Fatal(err)
				}
				in = append(in, time.Since(begin))
				begin = time.Now()
				if err := k.End(); err != nil {
					b.Fatal(err)
				}
				out = append(out, time.Since(begin))
				<-k.Gone()
				gone = append(gone, time.Since(begin))
			}
			for what, times := range map[string][]time.Duration{"in-force": in, "over": out, "gone": gone} {
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, what+"-median-ms")
				b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, what+"-p99-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func TestAnInterfaceThatIsMadeAnewIsShapedAgain(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	k := w.keep(t, Link{Egress: &Params{Delay: 40 * time.Millisecond}})
	if err := inNamespace(w.near.path, func(h *netlink.Handle) error {
		l, err := h.LinkByName(w.near.name)
		if err != nil {
			return err
		}
		return h.LinkDel(l)
	}); err != nil {
		t.Fatal(err)
	}
	until(t, "the devices of the old interface are gone", func() bool { return len(w.residue(t)) == 0 })
	w.plug(t, 1001)
	until(t, "the new interface is shaped", func() bool { rtt := w.roundTrip(t); return rtt >= 40*time.Millisecond && rtt < time.Minute })
	if k.Restarts() != 0 {
		t.Error("another helper was needed")
	}
	if err := k.End(); err != nil {
		t.Fatal(err)
	}
	<-k.Gone()
	if left := w.residue(t); len(left) > 0 {
		t.Error(left)
	}
}
