// Package cause explains an outage: which part of it passed until what had
// happened, and which setting decides how long that takes. It is pure: it reads
// an outage, the entries of the timeline and the settings in force, and invents
// nothing. What was not observed is said to be unknown.
package cause

import (
	"fmt"
	"strconv"

	"zdl/internal/timeline"
)

// Outage is an outage on the timeline's clock, in milliseconds.
type Outage struct {
	ID      int     `json:"id"`
	Subject string  `json:"subject"` // "service", or another subject of a prober
	Run     int     `json:"run"`     // of the timeline
	Before  float64 `json:"beforeMs"`
	First   float64 `json:"firstMs"` // start of the first failed request
	Last    float64 `json:"lastMs"`  // start of the last failed request
	After   float64 `json:"afterMs"` // end of the first success
	Lower   float64 `json:"lowerMs"` // bounds of its length
	Upper   float64 `json:"upperMs"`
}

// FromEntry reads the entry that tells the end of an outage.
func FromEntry(e *timeline.Entry) (Outage, bool) {
	if e.Kind != timeline.KindOutageEnded {
		return Outage{}, false
	}
	o := Outage{Subject: e.Subject, Run: e.Run}
	ok := true
	for name, to := range map[string]*float64{
		"beforeMs": &o.Before, "firstMs": &o.First, "lastMs": &o.Last, "afterMs": &o.After, "lowerMs": &o.Lower, "upperMs": &o.Upper,
	} {
		v, err := strconv.ParseFloat(e.Fields[name], 64)
		*to, ok = v, ok && err == nil
	}
	id, err := strconv.Atoi(e.Fields["outage"])
	o.ID = id
	return o, ok && err == nil && o.After >= o.First
}

// Find returns the latest outage with an ID, of a subject.
func Find(entries []timeline.Entry, subject string, id int) (Outage, bool) {
	for i := len(entries) - 1; i >= 0; i-- {
		if o, ok := FromEntry(&entries[i]); ok && o.ID == id && o.Subject == subject {
			return o, true
		}
	}
	return Outage{}, false
}

// Part is a part of an outage, or of the time between a fault and the moment at
// which users felt it. Its times are in milliseconds from the first failed
// request.
type Part struct {
	From float64 `json:"fromMs"`
	To   float64 `json:"toMs"`
	MS   float64 `json:"ms"`
	// What had happened at its end, in words.
	What string `json:"what"`
	// Known is false when steps in between were not observed.
	Known bool `json:"known"`
	// Seq is the entry of the timeline that ends it, 0 for none.
	Seq int64 `json:"seq,omitempty"`
	// Owners are the settings that decide how long it takes; none where it is
	// only as fast as the machine.
	Owners []Setting `json:"owners"`
}

// Breakdown is the explanation of an outage.
type Breakdown struct {
	Outage Outage `json:"outage"`
	// Fault is what began it, as far as known.
	Fault *Fault `json:"fault,omitempty"`
	// EndedBy says in one sentence what brought the service back.
	EndedBy string `json:"endedBy"`
	// Lead lies between the fault and the first failed request: users felt
	// nothing yet. It is empty when the fault struck at once, or is not known.
	Lead []Part `json:"lead"`
	// Parts follow each other from the first failed request to the end of the
	// first success, without gaps; SumMS is their sum.
	Parts []Part  `json:"parts"`
	SumMS float64 `json:"sumMs"`
	// Notes are what else happened that matters.
	Notes []string `json:"notes"`
}

// Fault is what began an outage.
type Fault struct {
	Kind   string  `json:"kind"`
	Text   string  `json:"text"`
	Attack string  `json:"attack,omitempty"`
	AtMS   float64 `json:"atMs"` // from the first failed request; negative: before it
	Seq    int64   `json:"seq"`
	More   int     `json:"more,omitempty"` // further faults at the same time
}

// slowest is the time between the last step and the first success that needs no
// explanation: a request that just timed out, and the next one.
const slowest = 1500.0

// Explain breaks an outage down. Entries may be of any time and in any order.
func Explain(o Outage, entries []timeline.Entry, settings Settings) Breakdown {
	s := newStory(&o, entries)
	b := Breakdown{Outage: o, Lead: []Part{}, Parts: []Part{}, Notes: []string{}}
	fault, more := s.fault()
	from := o.First
	if fault != nil {
		from = fault.at
		b.Fault = &Fault{Kind: fault.what, Text: fault.entry.Text, Attack: fault.entry.Fields["attack"], AtMS: round(fault.at - o.First), Seq: fault.entry.Seq, More: more}
	}
	steps, ended := s.chain(fault, from)
	b.EndedBy = ended
	if fault == nil {
		b.Notes = append(b.Notes, "No fault is known that began it.")
	}
	b.Notes = append(b.Notes, s.notes(fault, len(steps) > 0, settings)...)

	at := min(from, o.First)
	if fault != nil && fault.at > o.First {
		steps = append([]step{{at: fault.at, what: "requests under way when the fault struck", entry: fault.entry}}, steps...)
		at = o.First
	}
	begun := at
	for _, st := range steps {
		// Two steps may bear the same time: the watches that tell them are not in
		// step, and a cause is never dated after its consequence.
		if st.at <= begun || st.at < at || st.at >= o.After {
			continue
		}
		if at < o.First && st.at > o.First { // users begin to feel it on the way
			b.Lead = append(b.Lead, part(&o, at, o.First, step{what: "users were still served"}, nil))
			at = o.First
		}
		p := part(&o, at, st.at, st, settings)
		if st.at <= o.First {
			b.Lead = append(b.Lead, p)
		} else {
			b.Parts = append(b.Parts, p)
		}
		at = st.at
	}
	if at < o.First {
		b.Lead = append(b.Lead, part(&o, at, o.First, step{what: "users were still served"}, nil))
		at = o.First
	}
	last := step{what: "first success"}
	switch {
	case len(steps) == 0:
		last.what, last.unseen = "first success", "what brought the service back"
	case o.After-at > slowest:
		last.unseen = "why no request succeeded sooner"
	}
	b.Parts = append(b.Parts, part(&o, at, o.After, last, settings))
	for i := range b.Parts {
		b.SumMS += b.Parts[i].MS
	}
	b.SumMS = round(b.SumMS)
	return b
}

func part(o *Outage, from, to float64, st step, settings Settings) Part {
	p := Part{From: round(from - o.First), To: round(to - o.First), What: st.what, Known: st.unseen == "", Owners: []Setting{}}
	p.MS = round(p.To - p.From)
	if st.unseen != "" {
		p.What += fmt.Sprintf(" (unknown: %s)", st.unseen)
	}
	if st.entry != nil {
		p.Seq = st.entry.Seq
	}
	for _, knob := range st.owners {
		p.Owners = append(p.Owners, settings.get(knob))
	}
	return p
}

// round is to microseconds, so that sums are exact in print.
func round(ms float64) float64 {
	const unit = 1000
	if ms < 0 {
		return -round(-ms)
	}
	return float64(int64(ms*unit+0.5)) / unit
}
