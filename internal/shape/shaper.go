package shape

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Shaper is a shaping in force. It needs its process: with it, the relayed
// interfaces work as before at once. What netem was told to do stays in the
// kernel until Close, or Clear by somebody else.
type Shaper struct {
	mu       sync.Mutex
	slots    []*slot
	released bool
	before   [2]Stats // of relays that are gone: ingress, egress
}

// slot is one link of a shaper.
type slot struct {
	Link
	number uint64
	netem  bool
	relay  *relay // nil: netem has it, or the interface is gone
	index  int    // of the interface that is relayed
}

// Start shapes links, all or none, and returns when the shaping is in force. The
// frames that the interfaces carry meanwhile are not lost.
func Start(links []Link) (*Shaper, error) {
	for i := range links {
		if err := links[i].Check(); err != nil {
			return nil, err
		}
	}
	s := &Shaper{}
	for i, l := range links {
		slot := &slot{Link: l, number: uint64(i)}
		s.slots = append(s.slots, slot)
		if err := slot.start(); err != nil {
			return nil, errors.Join(fmt.Errorf("shape %s: %w", l.Interface, err), s.Close())
		}
	}
	return s, nil
}

func (s *slot) start() error {
	if s.netemCan() {
		err := startNetem(&s.Link)
		if err == nil {
			s.netem = true
			return nil
		}
		if !errors.Is(err, unix.ENOENT) { // what netem says where it is missing
			return err
		}
	}
	return s.divert()
}

// divert puts a relay into the link.
func (s *slot) divert() error {
	var lanes []*lane
	err := inNamespace(s.Netns, func(h *netlink.Handle) error {
		target, err := h.LinkByName(s.Interface)
		if err != nil {
			return fmt.Errorf("interface %s: %w", s.Interface, err)
		}
		s.index = target.Attrs().Index
		for _, side := range []struct {
			received bool
			p        *Params
		}{{true, s.Ingress}, {false, s.Egress}} {
			if side.p.Idle() {
				continue
			}
			d, err := attach(h, target, side.received, &s.Filter)
			if err != nil {
				return err
			}
			seed := s.Seed + 2*s.number
			if side.received {
				seed++
			}
			lanes = append(lanes, &lane{
				diversion: d, received: side.received, size: frameSize(d.mtu),
				discipline: NewDiscipline[*frame](*side.p, seed),
			})
		}
		return nil
	})
	r := &relay{lanes: lanes}
	if err == nil {
		err = r.start()
	}
	if err != nil {
		return errors.Join(err, r.close())
	}
	s.relay = r
	return nil
}

// Relayed tells whether the links are served by the relay, not by netem.
func (s *Shaper) Relayed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range s.slots {
		if slot.netem {
			return false
		}
	}
	return true
}

// Stats counts the frames of every relayed interface, ingress and egress added
// up over the links.
func (s *Shaper) Stats() (ingress, egress Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ingress, egress = s.before[0], s.before[1]
	for _, slot := range s.slots {
		if slot.relay != nil {
			in, out := slot.relay.stats()
			ingress.add(in)
			egress.add(out)
		}
	}
	return ingress, egress
}

func (s *Stats) add(o Stats) {
	s.Seen += o.Seen
	s.Sent += o.Sent
	s.Lost += o.Lost
	s.Duplicated += o.Duplicated
	s.Corrupted += o.Corrupted
	s.Reordered += o.Reordered
	s.Dropped += o.Dropped
	s.Waiting += o.Waiting
}

// Release ends the shaping within a millisecond: what waits goes on at once, what
// comes passes unharmed. Close must follow, which takes the kernel longer.
func (s *Shaper) Release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	var errs []error
	for _, slot := range s.slots {
		if slot.netem {
			errs = append(errs, Clear(&slot.Link))
		}
		if slot.relay != nil {
			slot.relay.pass()
		}
	}
	return errors.Join(errs...)
}

// Close takes everything away. Frames under way go on.
func (s *Shaper) Close() error {
	errs := []error{s.Release()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range s.slots {
		errs = append(errs, s.end(slot))
	}
	return errors.Join(errs...)
}

// end takes the relay of a slot away.
func (s *Shaper) end(slot *slot) error {
	r := slot.relay
	if r == nil {
		return nil
	}
	slot.relay = nil
	var errs []error
	for _, l := range r.lanes {
		errs = append(errs, l.release())
	}
	r.finish()
	in, out := r.stats()
	s.before[0].add(in)
	s.before[1].add(out)
	return errors.Join(append(errs, r.close())...)
}

// followEvery is how long a new interface may stay unharmed.
const followEvery = 200 * time.Millisecond

// Watch keeps the shaping where it belongs: an interface that was made anew,
// since its machine was switched off and on, is shaped again. It returns an error
// when a relay ends by itself or has not gone round for patience: as long as the
// process lives that is a total loss of frames, so the process must end. It
// returns nil when ctx ends.
func (s *Shaper) Watch(ctx context.Context, patience time.Duration) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.look(patience); err != nil {
				return err
			}
		}
	}
}

func (s *Shaper) look(patience time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range s.slots {
		if slot.netem || s.released {
			continue
		}
		if r := slot.relay; r != nil {
			if err := r.healthy(patience); err != nil {
				return fmt.Errorf("%s: %w", slot.Interface, err)
			}
		}
		index := slot.present()
		if slot.relay != nil && index != slot.index {
			_ = s.end(slot) // its interface is gone, with all that was on it
		}
		if slot.relay == nil && index != 0 {
			_ = slot.divert() // the next look tries again
		}
	}
	return nil
}

// present is the number of the slot's interface, 0 when there is none.
func (s *slot) present() int {
	index := 0
	_ = inNamespace(s.Netns, func(h *netlink.Handle) error {
		target, err := h.LinkByName(s.Interface)
		if err == nil {
			index = target.Attrs().Index
		}
		return err
	})
	return index
}
