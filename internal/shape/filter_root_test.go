package shape

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestAFilterChoosesByAddressProtocolAndPort(t *testing.T) {
	w := newWire(t)
	w.warm(t)
	far := netip.PrefixFrom(w.far.addr, 32)
	other := netip.MustParsePrefix("198.18.9.0/24")
	tests := []struct {
		name      string
		filter    Filter
		port      int
		udp, icmp bool // whether it is meant
	}{
		{"the peer", Filter{Peers: []netip.Prefix{far}}, 4000, true, true},
		{"one of several peers", Filter{Peers: []netip.Prefix{other, netip.MustParsePrefix("198.18.1.0/24")}}, 4000, true, true},
		{"somebody else", Filter{Peers: []netip.Prefix{other}}, 4000, false, false},
		{"a protocol", Filter{Protocol: 1}, 4000, false, true},
		{"a port", Filter{Protocol: 17, Port: 4000}, 4000, true, false},
		{"another port", Filter{Protocol: 17, Port: 4001}, 4000, false, false},
		{"a peer's port", Filter{Peers: []netip.Prefix{far}, Protocol: 17, Port: 4000}, 4000, true, false},
		{"a port of somebody else", Filter{Peers: []netip.Prefix{other}, Protocol: 17, Port: 4000}, 4000, false, false},
	}
	const delay = 30 * time.Millisecond
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := w.shaped(t, Link{Egress: &Params{Delay: delay}, Filter: tt.filter})
			defer s.Close()
			if meant := w.roundTrip(t) >= delay; meant != tt.icmp {
				t.Errorf("ICMP is delayed: %v", meant)
			}
			got := oneWayTo(t, w.near, w.far, tt.port, 5, 100, time.Millisecond, true)
			if len(got) != 5 {
				t.Fatalf("%d of 5 arrived", len(got))
			}
			if meant := quantile(got, .5) >= delay; meant != tt.udp {
				t.Errorf("UDP is delayed: %v", meant)
			}
		})
	}
}

// TestNetemShapesBothEnds runs where the kernel has netem: on stock kernels.
func TestNetemShapesBothEnds(t *testing.T) {
	w := newWire(t)
	if !netemIsThere(w) {
		t.Skip("this kernel has no netem; the relay is tested instead")
	}
	w.warm(t)
	l := Link{Netns: w.near.path, Interface: w.near.name, Far: &End{w.far.path, w.far.name}}
	for name, set := range map[string]func(*Link){
		"all traffic": func(l *Link) {
			l.Egress, l.Ingress = &Params{Delay: 30 * time.Millisecond}, &Params{Delay: 20 * time.Millisecond}
		},
		"a peer": func(l *Link) {
			l.Egress, l.Ingress = &Params{Delay: 50 * time.Millisecond}, nil
			l.Filter.Peers = []netip.Prefix{netip.PrefixFrom(w.far.addr, 32)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			link := l
			set(&link)
			s, err := Start([]Link{link})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Relayed() {
				t.Fatal("it is relayed although there is netem")
			}
			if rtt := w.roundTrip(t); rtt < 49*time.Millisecond || rtt > time.Second {
				t.Errorf("round trip %v, want 50 ms or, on an emulated machine, some more", rtt)
			}
			if left := w.residue(t); !slices.ContainsFunc(left, func(s string) bool { return s != "" }) {
				t.Error("the state shows no discipline")
			}
			// Whoever comes after a helper that was killed clears by name.
			for range 2 {
				if err := Clear(&link); err != nil {
					t.Fatal(err)
				}
			}
			if left := w.residue(t); len(left) > 0 {
				t.Error(left)
			}
			if rtt := w.roundTrip(t); rtt > 45*time.Millisecond {
				t.Errorf("round trip %v after the end", rtt)
			}
		})
	}
}
