package dnsfault

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		patterns, name string
		want           bool
	}{
		{"*", "web.web.svc.cluster.local.", true},
		{"*.web.svc.cluster.local", "WEB.web.svc.cluster.local.", true},
		{"*.web.svc.cluster.local", "web.default.svc.cluster.local.", false},
		{"a.example, web.*", "web.web.svc.cluster.local", true},
		{"we?.web.*", "web.web.svc.cluster.local", true},
		{"web", "web.web.svc.cluster.local", false},
	} {
		if got := Match(c.patterns, c.name); got != c.want {
			t.Errorf("%q and %q: %v", c.patterns, c.name, got)
		}
	}
	if Check("web.*,a.example") != nil || Check("[a") == nil {
		t.Error("a malformed pattern was accepted, or a good one refused")
	}
}

// truth answers every question with an address that can be changed.
func truth(addr *string) func(context.Context, string, *dns.Msg) (*dns.Msg, error) {
	return func(_ context.Context, _ string, q *dns.Msg) (*dns.Msg, error) {
		if *addr == "" {
			return nil, errors.New("no server")
		}
		r := reply(q, dns.RcodeSuccess)
		r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(*addr)}}
		return r, nil
	}
}

// told is what an answer says: an address, or a code.
func told(r *dns.Msg) string {
	if r == nil {
		return "nothing"
	}
	if len(r.Answer) > 0 {
		if a, ok := r.Answer[0].(*dns.A); ok {
			return a.A.String()
		}
	}
	return dns.RcodeToString[r.Rcode]
}

func TestOnlyNamesThatMatchAreStruck(t *testing.T) {
	addr := "198.18.128.1"
	for mode, want := range map[Mode]string{NXDomain: "NXDOMAIN", ServFail: "SERVFAIL", Refused: "REFUSED", Timeout: "nothing"} {
		a := newAnswerer(Config{Mode: mode, Names: "web.*", Share: 1}, truth(&addr))
		q := new(dns.Msg).SetQuestion("web.web.svc.cluster.local.", dns.TypeA)
		if got := told(a.answer(t.Context(), "udp", q)); got != want {
			t.Errorf("%s: told %s", mode, got)
		}
		q = new(dns.Msg).SetQuestion("other.web.svc.cluster.local.", dns.TypeA)
		if got := told(a.answer(t.Context(), "udp", q)); got != addr {
			t.Errorf("%s: another name was told %s", mode, got)
		}
	}
}

func TestRandomAddressesLeadNowhere(t *testing.T) {
	addr := "198.18.128.1"
	a := newAnswerer(Config{Mode: Random, Names: "*", Share: 1, Seed: 7}, truth(&addr))
	seen := map[string]bool{}
	for range 20 {
		got := told(a.answer(t.Context(), "udp", new(dns.Msg).SetQuestion("a.", dns.TypeA)))
		ip, err := netip.ParseAddr(got)
		if err != nil || !Nowhere.Contains(ip) {
			t.Fatalf("told %s", got)
		}
		seen[got] = true
	}
	if len(seen) < 5 {
		t.Errorf("20 answers were %d addresses", len(seen))
	}
	if r := a.answer(t.Context(), "udp", new(dns.Msg).SetQuestion("a.", dns.TypeAAAA)); r.Rcode != 0 || len(r.Answer) != 0 {
		t.Errorf("IPv6: %v", r)
	}
}

func TestShareIsAShareOfQuestions(t *testing.T) {
	addr, struck := "198.18.128.1", 0
	a := newAnswerer(Config{Mode: NXDomain, Names: "*", Share: 0.25, Seed: 1}, truth(&addr))
	for range 4000 {
		if told(a.answer(t.Context(), "udp", new(dns.Msg).SetQuestion("a.", dns.TypeA))) == "NXDOMAIN" {
			struck++
		}
	}
	if struck < 900 || struck > 1100 { // 1000, and nearly four standard deviations
		t.Errorf("%d of 4000 were struck", struck)
	}
}

func TestADelayedAnswerIsRight(t *testing.T) {
	addr := "198.18.128.1"
	a := newAnswerer(Config{Mode: Delay, Names: "*", Share: 1, Latency: 30 * time.Millisecond}, truth(&addr))
	begin := time.Now()
	got := told(a.answer(t.Context(), "udp", new(dns.Msg).SetQuestion("a.", dns.TypeA)))
	if took := time.Since(begin); got != addr || took < 30*time.Millisecond {
		t.Errorf("told %s after %v", got, took)
	}
}

func TestStaleAnswersStayWhatTheyWere(t *testing.T) {
	addr := "198.18.128.1"
	a := newAnswerer(Config{Mode: Stale, Names: "*", Share: 1, Freeze: []string{"old.web.svc.cluster.local"}, Services: "svc.cluster.local"}, truth(&addr))
	a.freeze(t.Context())
	ask := func(name string) string {
		return told(a.answer(t.Context(), "udp", new(dns.Msg).SetQuestion(name, dns.TypeA)))
	}
	addr = "198.18.128.2"
	if got := ask("OLD.web.svc.cluster.local."); got != "198.18.128.1" {
		t.Errorf("what was there is told as %s", got)
	}
	if got := ask("new.web.svc.cluster.local."); got != "NXDOMAIN" {
		t.Errorf("a Service made later is told as %s", got)
	}
	if got := ask("pod.old.web.svc.cluster.local."); got != "198.18.128.2" {
		t.Errorf("the first answer of another name is %s", got)
	}
	addr = ""
	if got := ask("pod.old.web.svc.cluster.local."); got != "198.18.128.2" {
		t.Errorf("the second answer of another name is %s", got)
	}
	q := new(dns.Msg).SetQuestion(StatsName, dns.TypeTXT)
	q.Question[0].Qclass = dns.ClassCHAOS
	if txt := a.answer(t.Context(), "udp", q).Answer[0].(*dns.TXT).Txt[0]; txt != "seen=4 struck=4 frozen=3" {
		t.Errorf("it counts %q", txt)
	}
}

func TestATableBringsOnlyTheServersQuestions(t *testing.T) {
	c := Config{Server: netip.MustParseAddrPort("198.18.128.10:53"), Listen: netip.MustParseAddr("127.0.0.1"), Table: "x"}
	for _, r := range Table(c, 4000).Chains[0].Rules[1:] {
		if r.ToPort != 53 || r.Redirect != 4000 || len(r.To) != 1 || r.To[0].String() != "198.18.128.10/32" {
			t.Errorf("rule %+v", r)
		}
	}
}
