package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// DNS asks a name server for the IPv4 addresses of a name, over UDP and from a
// new port each time, and sends each question once: resolvers that repeat are
// what hides a bad name server from users.
type DNS struct {
	Server string // host:port
	Name   string // with or without the dot at its end
	// Want are the right addresses, in any order; none: any answer that has some.
	Want []netip.Addr
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Ask implements Subject. Status is the RCODE plus 1000, so that success is not
// mistaken for no answer; SERVFAIL and REFUSED are failures of the server (5xx),
// NXDOMAIN, no address and a wrong address are wrong answers.
func (d DNS) Ask(ctx context.Context, deadline time.Time) (r Result) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := d.Dial(ctx, "udp", d.Server)
	if err != nil {
		return Result{Class: DialClass(err), Err: err}
	}
	defer conn.Close()
	fail := func(err error, doing string) Result {
		r.Class, r.Err = BrokenClass(err), fmt.Errorf("%s: %w", doing, err)
		if r.Class == Reset {
			r.Class = Refused // ICMP port unreachable: nobody listens
		}
		return r
	}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(d.Name), dns.TypeA)
	out, err := question.Pack()
	if err != nil {
		return Result{Class: Missed, Err: err}
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return fail(err, "set the deadline")
	}
	if _, err := conn.Write(out); err != nil {
		return fail(err, "send")
	}
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return fail(err, "read the answer")
		}
		r.FirstByte = time.Now()
		answer := new(dns.Msg)
		if err := answer.Unpack(buf[:n]); err != nil {
			r.Class, r.Err = Wrong, err
			return r
		}
		if answer.Id != question.Id {
			continue // not to this question
		}
		r.Status = 1000 + answer.Rcode
		r.Class, r.Err = d.judge(answer)
		return r
	}
}

func (d DNS) judge(answer *dns.Msg) (Class, error) {
	switch answer.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented:
		return ServerError, errors.New(dns.RcodeToString[answer.Rcode])
	default:
		return Wrong, fmt.Errorf("%s", dns.RcodeToString[answer.Rcode])
	}
	if answer.Truncated {
		return Wrong, errors.New("truncated")
	}
	var got []netip.Addr
	for _, record := range answer.Answer {
		if a, ok := record.(*dns.A); ok {
			if addr, ok := netip.AddrFromSlice(a.A.To4()); ok {
				got = append(got, addr)
			}
		}
	}
	slices.SortFunc(got, netip.Addr.Compare)
	want := slices.SortedFunc(slices.Values(d.Want), netip.Addr.Compare)
	switch {
	case len(got) == 0:
		return Wrong, errors.New("no address")
	case len(want) > 0 && !slices.Equal(got, want):
		return Wrong, fmt.Errorf("%v instead of %v", got, want)
	}
	return OK, nil
}

// Close implements Subject.
func (DNS) Close() {}
