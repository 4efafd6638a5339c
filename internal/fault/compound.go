package fault

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"
)

// compound is the kind of attacks that are made of parts.
const compound = "compound"

// maxParts bounds a compound attack.
const maxParts = 32

// Compound describes attacks that are made of parts, for the catalogue. The
// engine plans them itself.
func Compound() Kind {
	return Kind{
		Name: compound, Layer: LayerCompound,
		Summary: "Any set of other faults, at the same time or one after the other, as one fault with one undo.",
		Effect:  "That of its parts.",
		Params:  []Param{},
	}
}

// planParts makes one plan of all parts. Parts that begin together share their
// stages; a sequence puts the stages of one behind those of the other.
func (e *Engine) planParts(ctx context.Context, r *Request, a *Attack) (*Plan, error) {
	switch {
	case r.Kind != compound && r.Kind != "":
		return nil, refuse("An attack with parts is of kind compound, not %s.", r.Kind).hint("leave the kind out")
	case len(r.Parts) == 0 || len(r.Parts) > maxParts:
		return nil, refuse("A compound attack has %d parts.", len(r.Parts)).hint("1 to %d", maxParts)
	case r.Target != "" || len(r.Params) > 0 || r.Mode != "":
		return nil, refuse("A compound attack has no target, parameters or mode of its own.").hint("give them to its parts")
	case r.Pause < 0 || r.Pause > 10*time.Minute:
		return nil, refuse("The parts cannot be %v apart.", r.Pause).hint("0 to 10m")
	}
	out := &Plan{}
	instant := true
	for i := range r.Parts {
		part := r.Parts[i]
		if len(part.Parts) > 0 || part.For != 0 {
			return nil, refuse("Part %d has parts or a duration of its own.", i+1).hint("the whole compound has one duration and one undo")
		}
		if part.Seed == 0 {
			part.Seed = r.Seed + uint64(i)
		}
		part.Force = part.Force || r.Force
		sub := &Attack{ID: fmt.Sprintf("%s-%d", a.ID, i+1)}
		p, err := e.plan(ctx, &part, sub)
		if err != nil {
			return nil, err
		}
		a.Targets = append(a.Targets, sub.Targets...)
		instant = instant && sub.Instant
		out.Patience = max(out.Patience, p.Patience)
		if r.Sequence {
			if i > 0 && len(p.Stages) > 0 {
				p.Stages[0].After += r.Pause
			}
			out.Stages = append(out.Stages, p.Stages...)
			continue
		}
		for at, s := range p.Stages {
			if at == len(out.Stages) {
				out.Stages = append(out.Stages, Stage{})
			}
			out.Stages[at].After = max(out.Stages[at].After, s.After)
			out.Stages[at].Steps = append(out.Stages[at].Steps, s.Steps...)
		}
	}
	a.Kind, a.Layer, a.Instant = compound, LayerCompound, instant
	return out, out.check()
}

// nearest names kinds that were perhaps meant.
func (e *Engine) nearest(word string) string {
	var close []string
	for i := range e.Kinds {
		n := e.Kinds[i].Name
		if word != "" && (strings.Contains(n, word) || strings.Contains(word, n) || shared(n, word) >= 4) {
			close = append(close, n)
		}
	}
	sort.SliceStable(close, func(i, j int) bool { return shared(close[i], word) > shared(close[j], word) })
	if len(close) == 0 {
		return "zdl faults lists the kinds"
	}
	return "perhaps " + strings.Join(close[:min(len(close), 5)], ", ") + "; zdl faults lists all"
}

// shared is the length of the common beginning.
func shared(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
