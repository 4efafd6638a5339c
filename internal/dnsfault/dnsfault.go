// Package dnsfault is a name server that lies: it stands in front of a real one,
// passes most questions on, and answers those that a fault is about late, wrongly
// or not at all.
package dnsfault

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"
)

// Mode is what happens to a question that is struck.
type Mode string

// The modes.
const (
	Delay    Mode = "delay"    // answered rightly, but late
	NXDomain Mode = "nxdomain" // there is no such name
	ServFail Mode = "servfail" // the server has failed
	Refused  Mode = "refused"  // the server does not want to
	Timeout  Mode = "timeout"  // no answer
	Random   Mode = "random"   // some address where nobody is
	Stale    Mode = "stale"    // the first answer, for ever
)

// Config says where a proxy stands and what it does.
type Config struct {
	Mode    Mode          `json:"mode"`
	Names   string        `json:"names"` // patterns as for Match
	Share   float64       `json:"share"` // of the questions that match, 0 to 1
	Latency time.Duration `json:"latency,omitempty"`
	Seed    uint64        `json:"seed,omitempty"`

	// Server is the name server that questions are passed on to.
	Server netip.AddrPort `json:"server"`
	// Listen is the address on which questions come in.
	Listen netip.Addr `json:"listen"`
	// Table names the packet filter that brings them here.
	Table string `json:"table"`
	// Incoming: those that arrive in this namespace, for a server here; else those
	// that programs here ask of Server.
	Incoming bool `json:"incoming,omitempty"`
	// Freeze lists names whose answers are taken before it begins, for Stale;
	// others are frozen when they are first asked for.
	Freeze []string `json:"freeze,omitempty"`
	// Services is the domain of which Freeze lists every NAME.NAMESPACE there is,
	// "svc.cluster.local"; others there did not exist, and stay that way.
	Services string `json:"services,omitempty"`
}

// Nowhere is where random answers lead: in every lab the pods' ranges end
// before it, and no router knows a way there.
var Nowhere = netip.MustParsePrefix("198.19.255.0/24")

// StatsName, asked for as TXT of class CHAOS, tells what the proxy has done:
// "seen=12 struck=7 frozen=3".
const StatsName = "stats.zdl."

// Match tells whether a name, with or without its last dot, fits one of the
// patterns, which are separated by commas: * stands for any characters, dots
// too, and ? for one.
func Match(patterns, name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, p := range strings.Split(patterns, ",") {
		p = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(p), "."))
		// A name holds no slash, which is all that a star does not match.
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}

// Check tells what is wrong with patterns.
func Check(patterns string) error {
	for _, p := range strings.Split(patterns, ",") {
		if _, err := path.Match(strings.TrimSpace(p), ""); err != nil {
			return fmt.Errorf("the pattern %q is malformed", p)
		}
	}
	return nil
}
