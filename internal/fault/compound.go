package fault

import (
	"context"
	"errors"
	"fmt"
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
	case r.Target != "" || len(r.Params) > 0 || r.Mode != "" || r.Value != 0:
		return nil, refuse("A compound attack has no target, parameters or mode of its own.").hint("give them to its parts")
	case r.Pause != 0 && !r.Sequence:
		return nil, refuse("Parts that begin together have no pause between them.").hint("make it a sequence, or leave the pause out")
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
			return nil, ofPart(i+1, part.Kind, err)
		}
		if out.Patience = max(out.Patience, p.Patience); p.Patience == 0 {
			out.Patience = max(out.Patience, verifyPatience)
		}
		a.Targets = append(a.Targets, sub.Targets...)
		instant = instant && sub.Instant
		if r.Sequence {
			if i > 0 {
				p.Stages[0].After += r.Pause
			}
			// A later part may make an earlier one impossible to see.
			p.Stages[len(p.Stages)-1].Prove = true
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
	if instant && r.For > 0 {
		return nil, refuse("All parts are over once they happened, so they cannot last %v.", r.For).hint("leave --for out")
	}
	return out, out.check()
}

// ofPart says which part an error is about.
func ofPart(n int, kind string, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return &Error{Message: fmt.Sprintf("Part %d: %s", n, known.Message), Hint: known.Hint, cause: err}
	}
	return fmt.Errorf("part %d, %s: %w", n, kind, err)
}
