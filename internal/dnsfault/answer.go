package dnsfault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// answerer decides about questions.
type answerer struct {
	Config
	// ask passes a question on, by udp or tcp.
	ask func(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error)

	mu           sync.Mutex
	dice         *rand.Rand
	seen, struck int
	frozen       map[string]*dns.Msg
}

func newAnswerer(c Config, ask func(context.Context, string, *dns.Msg) (*dns.Msg, error)) *answerer {
	return &answerer{Config: c, ask: ask, dice: rand.New(rand.NewPCG(c.Seed, 0x646e73)), frozen: map[string]*dns.Msg{}}
}

// answer gives the answer to q, or nil for none.
func (a *answerer) answer(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	if len(q.Question) == 1 && q.Question[0].Qclass == dns.ClassCHAOS && strings.EqualFold(q.Question[0].Name, StatsName) {
		return a.stats(q)
	}
	if !a.strikes(q) {
		return a.pass(ctx, network, q)
	}
	switch a.Mode {
	case Delay:
		timer := time.NewTimer(a.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
			return a.pass(ctx, network, q)
		case <-ctx.Done():
			return nil
		}
	case NXDomain:
		return reply(q, dns.RcodeNameError)
	case ServFail:
		return reply(q, dns.RcodeServerFailure)
	case Refused:
		return reply(q, dns.RcodeRefused)
	case Random:
		return a.random(q)
	case Stale:
		return a.old(ctx, network, q)
	}
	return nil
}

// strikes counts the question and rolls the dice about it.
func (a *answerer) strikes(q *dns.Msg) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen++
	if len(q.Question) != 1 || !Match(a.Names, q.Question[0].Name) || a.Share < 1 && a.dice.Float64() >= a.Share {
		return false
	}
	a.struck++
	return true
}

func (a *answerer) pass(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	r, err := a.ask(ctx, network, q)
	if err != nil {
		return reply(q, dns.RcodeServerFailure)
	}
	return r
}

// random gives an address of Nowhere to who asks for one, and nothing to others.
func (a *answerer) random(q *dns.Msg) *dns.Msg {
	r := reply(q, dns.RcodeSuccess)
	if q.Question[0].Qtype == dns.TypeA {
		a.mu.Lock()
		last := byte(1 + a.dice.IntN(254))
		a.mu.Unlock()
		ip := Nowhere.Addr().As4()
		r.Answer = append(r.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
			A:   net.IPv4(ip[0], ip[1], ip[2], last),
		})
	}
	return r
}

// old gives the first answer that was seen, with the time to live it had.
func (a *answerer) old(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	key := strings.ToLower(q.Question[0].String())
	a.mu.Lock()
	kept := a.frozen[key]
	a.mu.Unlock()
	if kept == nil && a.isNew(q.Question[0].Name) {
		return reply(q, dns.RcodeNameError)
	}
	if kept == nil {
		r, err := a.ask(ctx, network, q)
		if err != nil {
			return reply(q, dns.RcodeServerFailure)
		}
		a.mu.Lock()
		if kept = a.frozen[key]; kept == nil {
			kept = r
			a.frozen[key] = r
		}
		a.mu.Unlock()
	}
	r := kept.Copy()
	r.Id, r.Question = q.Id, q.Question // as it was written: resolvers mix cases
	return r
}

// isNew tells whether a name is that of a Service which did not exist when the
// proxy began.
func (a *answerer) isNew(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	service, ok := strings.CutSuffix(name, "."+a.Services)
	return ok && a.Services != "" && strings.Count(service, ".") == 1 && !slices.Contains(a.Freeze, name)
}

// freeze asks for the answers that are to stay.
func (a *answerer) freeze(ctx context.Context) {
	var group sync.WaitGroup
	room := make(chan struct{}, 16)
	for _, name := range a.Freeze {
		group.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
				a.old(ctx, "udp", new(dns.Msg).SetQuestion(dns.Fqdn(name), kind))
			}
		})
	}
	group.Wait()
}

func (a *answerer) stats(q *dns.Msg) *dns.Msg {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := reply(q, dns.RcodeSuccess)
	r.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: StatsName, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS},
		Txt: []string{fmt.Sprintf("seen=%d struck=%d frozen=%d", a.seen, a.struck, len(a.frozen))},
	}}
	return r
}

func reply(q *dns.Msg, code int) *dns.Msg {
	r := new(dns.Msg).SetRcode(q, code)
	r.RecursionAvailable = true
	return r
}
