package cause

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/timeline"
)

// entry kinds, in the words of the packages that make them.
func kind(k cluster.ChangeKind) string { return string(k) }

// step is a moment on the way from a fault to the service's return.
type step struct {
	at     float64
	what   string // what had happened then
	unseen string // what must have happened before and was not observed
	owners []Knob
	entry  *timeline.Entry
}

// moment is an entry with the time at which it happened.
type moment struct {
	at    float64
	what  string // fault kind, of faults
	entry *timeline.Entry
}

// story is the entries that may have to do with an outage, by time.
type story struct {
	o       *Outage
	moments []moment
}

// reach is how long before an outage a lasting fault may lie, and happened how
// long one that is over at once, in milliseconds.
const (
	reach    = 15 * 60_000.0
	happened = 90_000.0
	// overlap is how long a request that fails may have been under way.
	overlap = 1100.0
	// burst is how far apart faults are that belong together.
	burst = 2000.0
)

func newStory(o *Outage, entries []timeline.Entry) *story {
	s := &story{o: o}
	for i := range entries {
		e := &entries[i]
		if at := e.When(); e.Run == o.Run && at >= o.First-reach && at <= o.After {
			s.moments = append(s.moments, moment{at: at, entry: e})
		}
	}
	slices.SortStableFunc(s.moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return s
}

// fault finds what began the outage: the latest fault before its first failed
// request, or while that was under way, unless it was over long before. More
// counts others that began at about the same time.
func (s *story) fault() (found *moment, more int) {
	ended := map[string]float64{}
	for _, m := range s.moments {
		if m.entry.Kind == fault.EntryUndone || m.entry.Kind == fault.EntryFailed {
			ended[m.entry.Fields["attack"]] = m.at
		}
	}
	var all []moment
	for _, m := range s.moments {
		end, lasting := 0.0, false
		switch m.entry.Kind {
		case fault.EntryIntent:
			m.what = m.entry.Fields["kind"]
			end = s.o.After
			if t, over := ended[m.entry.Fields["attack"]]; over {
				end = t + happened/9 // what its undo disturbs counts too
			}
			lasting = true
			if s.instant(m.entry) {
				end, lasting = m.at+happened, false
			}
		case timeline.KindKill:
			took, _ := strconv.ParseFloat(m.entry.Fields["deleteMs"], 64)
			m.what, m.at, end = "pod-kill", m.at-took, m.at+happened
		case timeline.KindPower:
			m.what, end, lasting = "power "+m.entry.Fields["power"], m.at+reach, true
		default:
			continue
		}
		if m.at <= s.o.First+overlap && end >= s.o.First && (lasting || m.at >= s.o.First-happened) {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, 0
	}
	last := all[len(all)-1]
	first := last
	for _, m := range all {
		if t, over := ended[m.entry.Fields["attack"]]; over && t < last.at && m.at < last.at {
			continue // it was undone before the latest began, which is closer
		}
		if m.at >= last.at-burst {
			if more == 0 {
				first = m
			}
			more++
		}
	}
	return &first, more - 1
}

// instant tells whether a fault was over once it happened: then it is never
// undone, and says no duration.
func (s *story) instant(e *timeline.Entry) bool {
	return !strings.Contains(e.Text, " until it is healed") && !strings.Contains(e.Text, " for ")
}

// last is the latest moment of some kinds up to a time and not before another.
func (s *story) last(from, until float64, fits func(*timeline.Entry) bool) *moment {
	for i := len(s.moments) - 1; i >= 0; i-- {
		if m := &s.moments[i]; m.at <= until && m.at >= from && fits(m.entry) {
			return m
		}
	}
	return nil
}

// first is the earliest such moment.
func (s *story) first(from, until float64, fits func(*timeline.Entry) bool) *moment {
	for i := range s.moments {
		if m := &s.moments[i]; m.at <= until && m.at >= from && fits(m.entry) {
			return m
		}
	}
	return nil
}

// is fits entries of some kinds, and of a field's value where given.
func is(k cluster.ChangeKind, fields ...string) func(*timeline.Entry) bool {
	return func(e *timeline.Entry) bool {
		if e.Kind != kind(k) {
			return false
		}
		for i := 0; i+1 < len(fields); i += 2 {
			if e.Fields[fields[i]] != fields[i+1] {
				return false
			}
		}
		return true
	}
}

func about(k cluster.ChangeKind, subject string) func(*timeline.Entry) bool {
	return func(e *timeline.Entry) bool { return e.Kind == kind(k) && e.Subject == subject }
}

// notes tells of what is not on the users' path, came too early or too late to
// matter, or did not come at all.
func (s *story) notes(f *moment, ended bool, settings Settings) []string {
	from, out := s.o.First, []string{}
	if f != nil {
		from = f.at
	}
	service := s.o.Subject == "service"
	if f != nil && service && !ended {
		out = append(out, s.before(from)...)
		if s.departure(s.o.After, from) == nil {
			grace := settings.get(NodeGrace)
			out = append(out, fmt.Sprintf("Since the fault no endpoint of the service had been taken away: Kubernetes had not noticed anything. For a lost node that takes %s = %s.",
				grace.Name, grace.Value))
		}
	}
	if m := s.first(from, s.o.After, is(cluster.ProxyProgrammed)); m != nil && service {
		out = append(out, fmt.Sprintf("%s, %s; the ingress sends to pods directly, so users did not wait for it.", m.entry.Text, relative(m.at-s.o.First)))
	}
	if m := s.first(from, s.o.After, is(cluster.ViewStale)); m != nil {
		out = append(out, "The API server did not answer for a while, so changes of objects may be dated later than they happened.")
	}
	return out
}

// before lists what had changed on the users' path when the first request failed.
func (s *story) before(from float64) []string {
	var out []string
	for _, m := range s.moments {
		e := m.entry
		switch {
		case m.at < from || m.at >= s.o.First:
		case e.Kind == kind(cluster.AddressMoved) && e.Fields["name"] == "users", e.Kind == kind(cluster.IngressProgrammed),
			e.Kind == kind(cluster.BackendDown) && e.Fields["backend"] == "ingress" && e.Fields["standby"] == "":
			out = append(out, fmt.Sprintf("%s, %s.", e.Text, relative(m.at-s.o.First)))
		}
	}
	return out[max(0, len(out)-3):]
}

func relative(ms float64) string {
	if ms < 0 {
		return fmt.Sprintf("%.0f ms before the first failure", -ms)
	}
	return fmt.Sprintf("%.0f ms after the first failure", ms)
}
