package step

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/dnsfault"
	"zdl/internal/fault"
)

// DNS puts a lying name server in the way of a pod's questions or, when the pod
// is a name server itself, in front of it.
type DNS struct {
	w      *World
	Pod    string          `json:"pod"` // namespace/name
	UID    string          `json:"uid"`
	Node   string          `json:"node"`
	Config dnsfault.Config `json:"config"`
	Ask    string          `json:"ask"` // name by which it is proven
}

// NewDNS plans to lie to or for a pod; ask is a name that exists and that the
// lies are about.
func (w *World) NewDNS(pod, uid, node string, c dnsfault.Config, ask string) fault.Step {
	return &DNS{w: w, Pod: pod, UID: uid, Node: node, Config: c, Ask: ask}
}

// Mechanism is "dns".
func (d *DNS) Mechanism() string { return "dns" }

// Touches the pod's way to or as a name server.
func (d *DNS) Touches() []string { return []string{"dns/" + d.Pod + "/" + d.UID} }

func (d *DNS) reroute() *reroute {
	return &reroute{w: d.w, key: d.Touches()[0], what: "name lookups of " + d.Pod, verb: "dns", table: d.Config.Table,
		netns: func() (string, error) { return d.w.Local.PodNetNS(d.Node, d.UID) }}
}

// Inject starts the proxy in the pod's network namespace.
func (d *DNS) Inject(context.Context) error { return d.reroute().inject(d.Config) }

// tries bounds how often a question is asked until a fault with a small share
// strikes it: at 1 % there is none in 2000 only once in 500 million times.
const tries = 2000

// Verify asks as the pod does, or as a client of the name server, until an answer
// is as wrong as it should be.
func (d *DNS) Verify(ctx context.Context) (string, error) {
	netns, err := d.reroute().standing()
	if err != nil {
		return "", err
	}
	server := d.Config.Server
	if d.Config.Incoming {
		server = netip.AddrPortFrom(d.Config.Listen, d.Config.Server.Port())
		netns = d.w.Local.NetNS(d.Node)
	}
	if d.Config.Mode == dnsfault.Stale {
		return d.verifyStale(ctx, netns, server)
	}
	patience := d.Config.Latency + time.Second
	if d.Config.Mode == dnsfault.Timeout {
		patience = 100 * time.Millisecond
	}
	q := new(dns.Msg).SetQuestion(dns.Fqdn(d.Ask), dns.TypeA)
	count := tries
	if d.Config.Share >= 1 {
		count = 1
	}
	var seen string
	for n := 1; n <= count && ctx.Err() == nil; n++ {
		begin := time.Now()
		r, err := ask(ctx, netns, server, q, patience)
		if err != nil && d.Config.Mode != dnsfault.Timeout {
			return "", fmt.Errorf("ask %s for %s: %w", server, d.Ask, err)
		}
		var struck bool
		if seen, struck = d.judge(r, time.Since(begin)); struck {
			return fmt.Sprintf("%s asked for %s: %s (question %d)", d.who(), d.Ask, seen, n), nil
		}
	}
	return "", fmt.Errorf("%s asked for %s: %s", d.who(), d.Ask, seen)
}

func (d *DNS) who() string {
	if d.Config.Incoming {
		return "client of " + d.Pod
	}
	return d.Pod
}

// judge tells what an answer was, and whether the fault made it; nil is none.
func (d *DNS) judge(r *dns.Msg, took time.Duration) (string, bool) {
	if r == nil {
		return "no answer", d.Config.Mode == dnsfault.Timeout
	}
	said := fmt.Sprintf("%s after %.1f ms", dns.RcodeToString[r.Rcode], float64(took.Microseconds())/1000)
	switch d.Config.Mode {
	case dnsfault.Delay:
		return said, took >= d.Config.Latency
	case dnsfault.NXDomain:
		return said, r.Rcode == dns.RcodeNameError
	case dnsfault.ServFail:
		return said, r.Rcode == dns.RcodeServerFailure
	case dnsfault.Refused:
		return said, r.Rcode == dns.RcodeRefused
	case dnsfault.Random:
		for _, rr := range r.Answer {
			if a, ok := rr.(*dns.A); ok {
				addr, _ := netip.AddrFromSlice(a.A.To4())
				return a.A.String() + ", where nobody is", dnsfault.Nowhere.Contains(addr)
			}
		}
	}
	return said, false
}

// verifyStale lets the proxy tell that it answers from what it kept: a frozen
// answer looks like a fresh one until the truth changes.
func (d *DNS) verifyStale(ctx context.Context, netns string, server netip.AddrPort) (string, error) {
	q := new(dns.Msg).SetQuestion(dnsfault.StatsName, dns.TypeTXT)
	q.Question[0].Qclass = dns.ClassCHAOS
	r, err := ask(ctx, netns, server, q, time.Second)
	if err != nil {
		return "", fmt.Errorf("ask the proxy in front of %s: %w", server, err)
	}
	var seen, struck, frozen int
	for _, rr := range r.Answer {
		if txt, ok := rr.(*dns.TXT); ok && len(txt.Txt) > 0 {
			_, _ = fmt.Sscanf(txt.Txt[0], "seen=%d struck=%d frozen=%d", &seen, &struck, &frozen)
		}
	}
	if frozen == 0 {
		return "", fmt.Errorf("the proxy in front of %s has no answers to keep", d.Pod)
	}
	return fmt.Sprintf("%d answers of %s stay as they are; asked through its address", frozen, d.Pod), nil
}

// ask puts a question by UDP from a network namespace.
func ask(ctx context.Context, netns string, server netip.AddrPort, q *dns.Msg, patience time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var conn net.Conn
	err := fabric.In(netns, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "udp4", server.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	q = q.Copy()
	q.Id = dns.Id()
	client := dns.Client{Timeout: patience}
	r, _, err := client.ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: conn})
	if err == nil && r == nil {
		err = errors.New("an empty answer")
	}
	return r, err
}

// Undo ends the proxy.
func (d *DNS) Undo(ctx context.Context) error { return d.reroute().undo(ctx) }

// State tells whether there is a proxy.
func (d *DNS) State(context.Context) (map[string]string, error) { return d.reroute().state() }
