package shape

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// cpuTime of a process, all threads.
func cpuTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')'):]))
	var ticks int
	for _, f := range fields[12:14] { // utime, stime
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// stream sends by TCP from one end to the other and returns bits a second.
func stream(t testing.TB, from, to end, limit int64, duration time.Duration) float64 {
	t.Helper()
	var l net.Listener
	err := inNamespace(to.path, func(*netlink.Handle) (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp4", to.addr.String()+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var c net.Conn
	err = inNamespace(from.path, func(*netlink.Handle) (err error) {
		c, err = net.DialTimeout("tcp4", l.Addr().String(), 5*time.Second)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 256<<10)
		for left := limit; left > 0; left -= int64(len(b)) {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		c.Close()
	}()
	begin := time.Now()
	server.SetReadDeadline(begin.Add(duration))
	n, _ := io.Copy(io.Discard, server)
	return float64(n) * 8 / time.Since(begin).Seconds()
}

// BenchmarkThroughput sends TCP through an active shaper for at most three
// seconds and 1 GB, each way, and tells how much of a core the helper needs.
func BenchmarkThroughput(b *testing.B) {
	for name, l := range map[string]Link{
		"delay-1ms":     {Ingress: &Params{Delay: time.Millisecond}, Egress: &Params{Delay: time.Millisecond}},
		"duplicate-1pc": {Ingress: &Params{Duplicate: 0.01}, Egress: &Params{Duplicate: 0.01}},
	} {
		for _, out := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/out=%v", name, out), func(b *testing.B) {
				w := newWire(b)
				needRelay(b, w)
				w.warm(b)
				h, err := startHelper([]string{"/proc/self/exe", helperArg}, Config{Links: []Link{w.link(l)}})
				if err != nil {
					b.Fatal(err)
				}
				defer h.end(endPatience)
				from, to := w.near, w.far
				if !out {
					from, to = to, from
				}
				before, begin := cpuTime(b, h.cmd.Process.Pid), time.Now()
				rate := stream(b, from, to, 1<<30, 3*time.Second)
				cores := (cpuTime(b, h.cmd.Process.Pid) - before).Seconds() / time.Since(begin).Seconds()
				b.ReportMetric(rate/1e6, "Mbit/s")
				b.ReportMetric(cores, "cores")
				b.ReportMetric(0, "ns/op")
				a, err := h.ask(OrderStats, askPatience)
				if err != nil {
					b.Fatal(err)
				}
				if a.Ingress.Seen == 0 || a.Egress.Seen == 0 {
					b.Error("the stream did not go through the relay")
				}
			})
		}
	}
}

// BenchmarkPrecision measures 50 ms of delay, one way, as the kernels' time
// stamps tell it.
func BenchmarkPrecision(b *testing.B) {
	w := newWire(b)
	w.warm(b)
	w.keep(b, Link{Egress: &Params{Delay: 50 * time.Millisecond}})
	got := oneWayTo(b, w.near, w.far, 0, 5000, 200, 500*time.Microsecond, true)
	if len(got) != 5000 {
		b.Errorf("%d of 5000 arrived", len(got))
	}
	for name, q := range map[string]float64{"median-ms": .5, "p99-ms": .99, "max-ms": 1} {
		b.ReportMetric(float64(quantile(got, q).Microseconds())/1000, name)
	}
	b.ReportMetric(0, "ns/op")
}
