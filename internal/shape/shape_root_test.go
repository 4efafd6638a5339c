package shape

import (
	"encoding/binary"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// parcel is a datagram as it arrived.
type parcel struct {
	number uint32
	took   time.Duration
	at     time.Duration // on the clock of the receiver
	intact bool
}

// oneWay sends count datagrams, size bytes each, gap apart, from one end to the
// other and returns what arrived until nothing came for a while, long on a busy
// machine.
func oneWay(t testing.TB, from, to end, count, size int, gap time.Duration) []parcel {
	t.Helper()
	return oneWayTo(t, from, to, 0, count, size, gap, false)
}

// oneWayTo sends to a port, 0 for any. With complete it returns when as many have
// arrived as were sent.
func oneWayTo(t testing.TB, from, to end, port, count, size int, gap time.Duration, complete bool) []parcel {
	t.Helper()
	const quiet = time.Second
	source, sink := from.udp(t, 0), to.udp(t, port)
	defer source.Close()
	defer sink.Close()
	target := sink.LocalAddr().(*net.UDPAddr)
	sent := make([]int64, count)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, size)
		for i := range size {
			b[i] = 0x55
		}
		next := monotonic()
		for i := range count {
			for monotonic() < next {
			}
			next = monotonic() + int64(gap) // never a burst to catch up: the backlog of a CPU holds 1000
			binary.BigEndian.PutUint32(b, uint32(i))
			sent[i] = realtime()
			source.WriteToUDP(b, target)
		}
	}()
	var got []parcel
	b, control := make([]byte, 65536), make([]byte, 128)
	for {
		sink.SetReadDeadline(time.Now().Add(quiet))
		n, c, _, _, err := sink.ReadMsgUDP(b, control)
		if err != nil {
			select {
			case <-done:
				return got
			default: // the sender had to wait for a processor
				continue
			}
		}
		now := arrival(t, control[:c])
		p := parcel{number: binary.BigEndian.Uint32(b), at: time.Duration(now), intact: n == size}
		for _, c := range b[4:n] {
			p.intact = p.intact && c == 0x55
		}
		if p.number < uint32(count) {
			p.took = time.Duration(now - sent[p.number])
		} else {
			p.intact = false
		}
		if got = append(got, p); len(got) == count && complete {
			return got
		}
	}
}

func realtime() int64 { return time.Now().UnixNano() }

// arrival is when the kernel received a datagram: who reads it may be late on a
// busy machine.
func arrival(t testing.TB, control []byte) int64 {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS {
			return int64(binary.NativeEndian.Uint64(m.Data))*1e9 + int64(binary.NativeEndian.Uint64(m.Data[8:]))
		}
	}
	t.Fatal("a datagram without a time stamp")
	return 0
}

// quantile of the times; 0.5 is the median.
func quantile(parcels []parcel, q float64) time.Duration {
	if len(parcels) == 0 {
		return 0
	}
	var took []time.Duration
	for _, p := range parcels {
		took = append(took, p.took)
	}
	slices.Sort(took)
	return took[int(float64(len(took)-1)*q)]
}

// within tells whether a share of n trials fits a probability, at 4.5 standard
// deviations: one false alarm in 150,000.
func within(hits, n int, probability float64) bool {
	deviation := math.Sqrt(float64(n) * probability * (1 - probability))
	return math.Abs(float64(hits)-float64(n)*probability) <= 4.5*deviation+1
}

func TestDelayHoldsEachDirectionByItself(t *testing.T) {
	for name, link := range map[string]Link{
		"egress":  {Egress: &Params{Delay: 50 * time.Millisecond}},
		"ingress": {Ingress: &Params{Delay: 50 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			needRelay(t, w)
			w.warm(t)
			w.shaped(t, link)
			out := oneWayTo(t, w.near, w.far, 0, 1000, 200, time.Millisecond, true)
			back := oneWayTo(t, w.far, w.near, 0, 1000, 200, time.Millisecond, true)
			if len(out) != 1000 || len(back) != 1000 {
				t.Fatalf("%d and %d of 1000 arrived", len(out), len(back))
			}
			if link.Ingress != nil {
				out, back = back, out
			}
			t.Logf("shaped: median %v, p99 %v; other way: median %v", quantile(out, .5), quantile(out, .99), quantile(back, .5))
			if m := quantile(out, .5); m < 50*time.Millisecond || m > 60*time.Millisecond {
				t.Errorf("median %v, want 50 ms", m)
			}
			if m := quantile(back, .5); m > 5*time.Millisecond {
				t.Errorf("the other way takes %v", m)
			}
		})
	}
}

func TestLossIsAsFrequentAsAsked(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	s := w.shaped(t, Link{Egress: &Params{Loss: 0.1}, Seed: 7})
	got := oneWay(t, w.near, w.far, 5000, 200, 100*time.Microsecond)
	_, stats := s.Stats()
	t.Logf("%d of 5000 arrived; %+v", len(got), stats)
	if !within(5000-len(got), 5000, 0.1) {
		t.Errorf("%d of 5000 were lost, want 10 %%", 5000-len(got))
	}
}

func TestDuplicatesArriveTwice(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	w.shaped(t, Link{Egress: &Params{Duplicate: 0.25}})
	got := oneWay(t, w.near, w.far, 4000, 200, 100*time.Microsecond)
	if !within(len(got)-4000, 4000, 0.25) {
		t.Errorf("%d arrived of 4000, want 25 %% more", len(got))
	}
	for _, p := range got {
		if !p.intact {
			t.Fatal("a copy is damaged")
		}
	}
}

func TestCorruptFramesAreRefusedByTheirReceiver(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	s := w.shaped(t, Link{Egress: &Params{Corrupt: 0.2}})
	got := oneWay(t, w.near, w.far, 4000, 1000, 100*time.Microsecond)
	_, stats := s.Stats()
	damaged := 0
	for _, p := range got {
		if !p.intact {
			damaged++
		}
	}
	t.Logf("%d of 4000 arrived, %d damaged; %+v", len(got), damaged, stats)
	// The UDP checksum finds single bits, except where the bit lies in a field
	// that no checksum covers: the source's MAC, the TTL is covered by IP's.
	if lost := 4000 - len(got); !within(lost, 4000, 0.2*(1-6.0/1042)) {
		t.Errorf("%d of 4000 were refused, want 20 %%", lost)
	}
	if damaged > 0 {
		t.Errorf("%d arrived damaged", damaged)
	}
}

func TestReorderedFramesOvertake(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	w.shaped(t, Link{Egress: &Params{Delay: 20 * time.Millisecond, Reorder: 0.25}})
	got := oneWay(t, w.near, w.far, 3000, 200, 200*time.Microsecond)
	early := 0
	for _, p := range got {
		if p.took < 15*time.Millisecond {
			early++
		}
	}
	if len(got) != 3000 || !within(early, 3000, 0.25) {
		t.Errorf("%d of %d overtook, want 25 %% of 3000", early, len(got))
	}
}

func TestRateIsKept(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	w.shaped(t, Link{Egress: &Params{Rate: 20_000_000, Buffer: 64 << 20}})
	const count, size = 1500, 1400
	got := oneWayTo(t, w.near, w.far, 0, count, size, 20*time.Microsecond, true)
	took := got[len(got)-1].at - got[0].at
	rate := float64((len(got)-1)*(size+42)*8) / took.Seconds() / 1e6
	t.Logf("%d of %d in %v: %.2f Mbit/s", len(got), count, took, rate)
	if len(got) != count || rate < 18 || rate > 20.5 {
		t.Errorf("%d of %d at %.2f Mbit/s, want 20", len(got), count, rate)
	}
}

func TestARateHasABoundedBuffer(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	w.shaped(t, Link{Egress: &Params{Rate: 8_000_000, Buffer: 50_000}})
	got := oneWay(t, w.near, w.far, 500, 958, 10*time.Microsecond)
	// 50,000 bytes take 50 ms at 8 Mbit/s. netem counts packets, as if each had
	// 1500 bytes: 33 ms of these.
	worst := quantile(got, 1)
	t.Logf("%d of 500 arrived, the slowest after %v", len(got), worst)
	if worst < 30*time.Millisecond || worst > 70*time.Millisecond || len(got) > 400 {
		t.Errorf("%d of 500 arrived, the slowest after %v, want 33 to 50 ms and many dropped", len(got), worst)
	}
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	w := newWire(t)
	before := w.residue(t)
	s := w.shaped(t, Link{Ingress: &Params{Delay: time.Second}, Egress: &Params{Delay: time.Second}})
	if len(w.residue(t)) == len(before) {
		t.Fatal("the state does not show the shaping")
	}
	t.Log(w.residue(t))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := w.residue(t); len(left) > 0 {
		t.Error(left)
	}
	got := oneWayTo(t, w.near, w.far, 0, 10, 100, time.Millisecond, true)
	if len(got) != 10 || quantile(got, .5) > 5*time.Millisecond {
		t.Errorf("%d of 10 arrive after %v", len(got), quantile(got, .5))
	}
}

func TestEchoesTellWhatHappenedToThem(t *testing.T) {
	w := newWire(t)
	needRelay(t, w)
	w.warm(t)
	const n = 1000
	ping := Ping{Netns: w.near.path, To: w.far.target(), Count: n, Gap: 200 * time.Microsecond, Size: 500, Wait: time.Second}
	for name, tt := range map[string]struct {
		p    Params
		seen func(e Echoes) int
		want float64
	}{
		"loss":      {Params{Loss: 0.3}, func(e Echoes) int { return e.Sent - e.Received }, 0.3},
		"duplicate": {Params{Duplicate: 0.3}, func(e Echoes) int { return e.Copies }, 0.3},
		"corrupt":   {Params{Corrupt: 0.3}, func(e Echoes) int { return e.Sent - e.Received }, 0.3 * (1 - 6.0/542)},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.shaped(t, Link{Ingress: &tt.p})
			defer s.Close()
			e, err := ping.Do()
			if err != nil {
				t.Fatal(err)
			}
			if !within(tt.seen(e), n, tt.want) {
				t.Errorf("%d of %d echoes, want a share of %.2f", tt.seen(e), n, tt.want)
			}
		})
	}
}
