// Package shape makes a network interface worse: delay, jitter, loss,
// duplication, corruption, reordering and a limited rate, per direction, for all
// frames or for those to and from some addresses.
//
// What happens to a frame is decided by Discipline, which is pure. How frames
// come to it depends on the kernel. Where it has netem, the qdisc does the same
// by itself (netem.go). Everywhere else a program of eBPF on the interface sends
// frames through two TAP devices into this process and back (attach.go): the
// interface stays where it is, in its bridge or with its addresses, and when the
// process dies, by whatever, its descriptors close, the programs and devices go
// with them and the interface works as before.
package shape

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Params say what happens to the frames of one direction, in the words and with
// the meaning of tc-netem(8). The zero value changes nothing.
type Params struct {
	Delay            time.Duration `json:"delay,omitempty"`            // added to every frame
	Jitter           time.Duration `json:"jitter,omitempty"`           // width of its variation; may reorder, as netem's does
	Distribution     Distribution  `json:"distribution,omitempty"`     // of the variation; default Uniform
	DelayCorrelation float64       `json:"delayCorrelation,omitempty"` // 0 to 1: how much a frame's delay is like the one's before

	Loss                 float64 `json:"loss,omitempty"` // probabilities, 0 to 1
	LossCorrelation      float64 `json:"lossCorrelation,omitempty"`
	Duplicate            float64 `json:"duplicate,omitempty"`
	DuplicateCorrelation float64 `json:"duplicateCorrelation,omitempty"`
	Corrupt              float64 `json:"corrupt,omitempty"` // one bit of the frame is inverted
	CorruptCorrelation   float64 `json:"corruptCorrelation,omitempty"`
	Reorder              float64 `json:"reorder,omitempty"` // sent at once, ahead of those that are delayed
	ReorderCorrelation   float64 `json:"reorderCorrelation,omitempty"`
	Gap                  int     `json:"gap,omitempty"` // only every Gap-th frame may be reordered; 0 and 1: any

	Rate   int64 `json:"rate,omitempty"`   // bits a second; 0: unlimited
	Buffer int   `json:"buffer,omitempty"` // bytes that may wait for Rate, more are dropped; 0: DefaultBuffer
}

// Distribution names how jitter is spread.
type Distribution string

const (
	// Uniform spreads evenly between Delay-Jitter and Delay+Jitter; netem's default.
	Uniform Distribution = "uniform"
	// Normal has Jitter as its standard deviation, and ends at four of them.
	Normal Distribution = "normal"
)

const (
	// Limit is how many frames may be under way in one direction; netem's word
	// for it. More are dropped. It bounds memory to some 64 MB at an MTU of 1500.
	Limit = 40000
	// minBuffer holds a burst of TCP at any rate.
	minBuffer = 32 << 10
)

// DefaultBuffer is what a rate can send in 100 ms, and 32 KiB at the least.
func DefaultBuffer(rate int64) int { return int(max(rate/8/10, minBuffer)) }

// Idle tells whether p changes nothing.
func (p *Params) Idle() bool {
	return p == nil || p.Delay == 0 && p.Jitter == 0 && p.Loss == 0 && p.Duplicate == 0 && p.Corrupt == 0 && p.Reorder == 0 && p.Rate == 0
}

// Check tells what is out of range.
func (p *Params) Check() error {
	for name, share := range map[string]float64{
		"loss": p.Loss, "duplicate": p.Duplicate, "corrupt": p.Corrupt, "reorder": p.Reorder,
		"delay correlation": p.DelayCorrelation, "loss correlation": p.LossCorrelation, "duplicate correlation": p.DuplicateCorrelation,
		"corrupt correlation": p.CorruptCorrelation, "reorder correlation": p.ReorderCorrelation,
	} {
		if math.IsNaN(share) || share < 0 || share > 1 {
			return fmt.Errorf("%s is %v; it must be from 0 to 1", name, share)
		}
	}
	switch {
	case p.Delay < 0 || p.Delay > time.Minute:
		return fmt.Errorf("delay is %v; it must be from 0 to 1m", p.Delay)
	case p.Jitter < 0 || p.Jitter > p.Delay:
		return fmt.Errorf("jitter is %v; it must be from 0 to the delay, %v", p.Jitter, p.Delay)
	case p.Distribution != "" && p.Distribution != Uniform && p.Distribution != Normal:
		return fmt.Errorf("distribution %q is neither %s nor %s", p.Distribution, Uniform, Normal)
	case p.Reorder > 0 && p.Delay == 0:
		return errors.New("reorder needs a delay to be ahead of")
	case p.Gap < 0:
		return fmt.Errorf("gap is %d; it must not be negative", p.Gap)
	case p.Rate < 0 || p.Rate > 0 && p.Rate < 1000:
		return fmt.Errorf("rate is %d bit/s; it must be at least 1000", p.Rate)
	case p.Buffer < 0:
		return fmt.Errorf("buffer is %d bytes; it must not be negative", p.Buffer)
	}
	return nil
}

// Link says what is done to one interface.
type Link struct {
	// Netns is the file of the network namespace that holds it; "": the caller's.
	Netns     string `json:"netns,omitempty"`
	Interface string `json:"interface"`
	// Far is the other end of the cable, where netem must sit to shape what this
	// end receives. Without it that direction needs the relay.
	Far     *End    `json:"far,omitempty"`
	Ingress *Params `json:"ingress,omitempty"` // what the interface receives; nil: untouched
	Egress  *Params `json:"egress,omitempty"`  // what it sends
	Filter  Filter  `json:"filter,omitzero"`
	Seed    uint64  `json:"seed,omitempty"` // of what is left to chance
}

// End is an interface in a network namespace.
type End struct {
	Netns     string `json:"netns,omitempty"`
	Interface string `json:"interface"`
}

// Filter chooses frames. The zero value means all, ARP included; any other
// means IPv4 packets only.
type Filter struct {
	// Peers: source or destination is in one of these IPv4 prefixes.
	Peers []netip.Prefix `json:"peers,omitempty"`
	// Protocol: 1 ICMP, 6 TCP, 17 UDP; 0: any.
	Protocol uint8 `json:"protocol,omitempty"`
	// Port: source or destination of TCP or UDP; 0: any. Fragments after the
	// first have none and do not match.
	Port uint16 `json:"port,omitempty"`
}

// All tells whether the filter lets every frame through.
func (f *Filter) All() bool { return len(f.Peers) == 0 && f.Protocol == 0 && f.Port == 0 }

// MaxPeers bounds the prefixes of a filter.
const MaxPeers = 256

// Check tells what is wrong with the link, without looking whether it exists.
func (l *Link) Check() error {
	if l.Interface == "" {
		return errors.New("no interface is named")
	}
	if l.Ingress.Idle() && l.Egress.Idle() {
		return fmt.Errorf("nothing is to be done to %s", l.Interface)
	}
	for _, p := range []*Params{l.Ingress, l.Egress} {
		if p != nil {
			if err := p.Check(); err != nil {
				return fmt.Errorf("%s: %w", l.Interface, err)
			}
		}
	}
	if len(l.Filter.Peers) > MaxPeers {
		return fmt.Errorf("%s: %d prefixes are more than %d", l.Interface, len(l.Filter.Peers), MaxPeers)
	}
	for _, p := range l.Filter.Peers {
		if !p.IsValid() || !p.Addr().Is4() {
			return fmt.Errorf("%s: %v is no IPv4 prefix", l.Interface, p)
		}
	}
	if l.Filter.Port != 0 && l.Filter.Protocol != 6 && l.Filter.Protocol != 17 {
		return fmt.Errorf("%s: a port needs the protocol TCP or UDP", l.Interface)
	}
	return nil
}

// Stats count what happened to the frames of one direction.
type Stats struct {
	Seen       uint64 `json:"seen"` // came in
	Sent       uint64 `json:"sent"` // went on, copies included
	Lost       uint64 `json:"lost"` // by chance
	Duplicated uint64 `json:"duplicated"`
	Corrupted  uint64 `json:"corrupted"`
	Reordered  uint64 `json:"reordered"`
	Dropped    uint64 `json:"dropped"` // because Buffer or Limit were full
	Waiting    int    `json:"waiting"` // under way
}
