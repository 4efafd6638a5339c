package visitor

import (
	"net/netip"
	"sync"
	"time"
)

// Rate is what a token bucket gives: so many a second for long, and Burst at
// once.
type Rate struct{ PerSecond, Burst float64 }

// bucket is a token bucket; its zero value is full.
type bucket struct {
	spent float64 // of Burst
	at    time.Time
}

// take spends one. If there is none, it says how long until there is.
func (b *bucket) take(now time.Time, r Rate) (wait time.Duration, ok bool) {
	b.spent = max(0, b.spent-r.PerSecond*max(0, now.Sub(b.at).Seconds()))
	b.at = now
	if b.spent+1 > r.Burst {
		return time.Duration((b.spent + 1 - r.Burst) / r.PerSecond * float64(time.Second)), false
	}
	b.spent++
	return 0, true
}

// Limits say how much visitors may ask for. An address is one of IPv4 or the /64
// network of one of IPv6; behind one there may be a whole classroom.
type Limits struct {
	Act           Rate // of a session: hits, names
	Change        Rate // of a session: what makes the lab work for seconds
	Read          Rate // of a session: everything else of the API
	AddressAct    Rate // of an address, all its sessions together
	AddressChange Rate
	AddressRead   Rate // of an address, the page's files included
	Newcomers     Rate // new sessions of an address
	Guesses       Rate // attempts of an address to be the owner

	Streams        int // open event streams of a session
	AddressStreams int
	AllStreams     int

	Conns        int // open connections of an address
	AllConns     int
	MaxSessions  int // remembered
	MaxAddresses int
}

// DefaultLimits fit a thousand visitors, some hundreds of them behind one
// address.
func DefaultLimits() Limits {
	return Limits{
		Act: Rate{12, 24}, Change: Rate{0.2, 5}, Read: Rate{20, 60},
		AddressAct: Rate{120, 240}, AddressChange: Rate{0.5, 10}, AddressRead: Rate{400, 1200},
		Newcomers: Rate{5, 300}, Guesses: Rate{0.2, 10},
		Streams: 4, AddressStreams: 400, AllStreams: 1200,
		Conns: 800, AllConns: 3000,
		MaxSessions: 5000, MaxAddresses: 5000,
	}
}

// Kind is what a request is counted as.
type Kind int

// Kinds of requests.
const (
	File   Kind = iota // of the page
	Read               // of the API
	Act                // is a hit, or a name
	Change             // makes the lab work for seconds
	Guess              // wants to be the owner
)

// Gate counts requests and open streams. It is safe for concurrent use.
type Gate struct {
	l Limits

	mu        sync.Mutex
	sessions  table[ID, sessionUse]
	addresses table[netip.Addr, addressUse]
	streams   map[ID]int // those that are open
	streamsAt map[netip.Addr]int
	all       int
}

type sessionUse struct{ act, change, read bucket }
type addressUse struct{ act, change, read, newcomers, guesses bucket }

// NewGate lets through what the limits say.
func NewGate(l Limits) *Gate {
	return &Gate{l: l, streams: map[ID]int{}, streamsAt: map[netip.Addr]int{},
		sessions: table[ID, sessionUse]{max: l.MaxSessions}, addresses: table[netip.Addr, addressUse]{max: l.MaxAddresses}}
}

// Network is what an address counts as: itself, or its /64 network of IPv6, all
// of which one visitor may have. All that are unknown count as one.
func Network(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv6Unspecified()
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// Admit counts a request of a session at an address; if it is one too many, it
// says when to come again. Requests without a session of their own (nil) share
// what one session may.
func (g *Gate) Admit(now time.Time, id *ID, at netip.Addr, k Kind) (wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at = Network(at)
	a := g.addresses.get(at)
	switch k {
	case Guess:
		return a.guesses.take(now, g.l.Guesses)
	case File:
		return a.read.take(now, g.l.AddressRead)
	}
	// First the session's, so that one who is too fast uses up nothing of others.
	var s *sessionUse
	if id != nil {
		s = g.sessions.get(*id)
	} else {
		s = g.sessions.get(shared(at))
	}
	mine, mineRate, all, allRate := &s.read, g.l.Read, &a.read, g.l.AddressRead
	switch k {
	case Act:
		mine, mineRate, all, allRate = &s.act, g.l.Act, &a.act, g.l.AddressAct
	case Change:
		mine, mineRate, all, allRate = &s.change, g.l.Change, &a.change, g.l.AddressChange
	}
	if wait, ok = mine.take(now, mineRate); ok {
		wait, ok = all.take(now, allRate)
	}
	return wait, ok
}

// shared is what stands for all of an address who show no session.
func shared(at netip.Addr) (id ID) {
	return ID(at.As16())
}

// Welcome tells whether an address may have another new session.
func (g *Gate) Welcome(now time.Time, at netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.addresses.get(Network(at)).newcomers.take(now, g.l.Newcomers)
	return ok
}

// Open counts an event stream; close ends it. False if there are too many, and
// whose they are: the visitor's own, or everybody's together.
func (g *Gate) Open(id *ID, at netip.Addr) (closed func(), own, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at = Network(at)
	who := shared(at)
	if id != nil {
		who = *id
	}
	switch {
	case g.all >= g.l.AllStreams:
		return nil, false, false
	case g.streams[who] >= g.l.Streams, g.streamsAt[at] >= g.l.AddressStreams:
		return nil, true, false
	}
	g.all++
	g.streams[who]++
	g.streamsAt[at]++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.streams[who]--; g.streams[who] == 0 {
			delete(g.streams, who)
		}
		if g.streamsAt[at]--; g.streamsAt[at] == 0 {
			delete(g.streamsAt, at)
		}
	}), true, true
}

// Streams is how many event streams are open.
func (g *Gate) Streams() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all
}
