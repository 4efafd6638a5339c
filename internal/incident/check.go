package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"zdl/internal/incident/causal"
	"zdl/internal/incident/evidence"
)

// Defaults and limits of scenarios.
const (
	DefaultHistory = time.Minute
	DefaultHold    = 30 * time.Second
	DefaultWithin  = 5 * time.Minute
	maxLength      = time.Hour
	// maxHints is what all hints together may cost: who took them all and mended it
	// has still learned something.
	maxHints = 0.9
	// MinCheats is how many ways to be wrong each scenario must be tested with.
	MinCheats = 5
)

// Check fills in defaults and says what is wrong, or nil.
func (s *Scenario) Check() error {
	if s.Stage.History == 0 {
		s.Stage.History = DefaultHistory
	}
	if s.Recovery.For == 0 {
		s.Recovery.For = DefaultHold
	}
	if s.Recovery.Within == 0 {
		s.Recovery.Within = DefaultWithin
	}
	if s.Stage.Profile == "" {
		s.Stage.Profile = "ha"
	}
	if s.Stage.Workload == "" {
		s.Stage.Workload = "web"
	}
	switch {
	case s.Title == "" || s.Summary == "":
		return fmt.Errorf("it has no title or no summary")
	case s.Page.Alert == "" || s.Page.Text == "" || s.Page.Complaint == "":
		return fmt.Errorf("page: want alert, text and complaint")
	case !slices.Contains([]string{"small", "ha", "shop"}, s.Stage.Profile):
		return fmt.Errorf("stage: profile %q: want small, ha or shop", s.Stage.Profile)
	case s.Stage.Workload != "web" && s.Stage.Workload != "shop":
		return fmt.Errorf("stage: workload %q: want web or shop", s.Stage.Workload)
	case max(s.Stage.History, s.Recovery.For, s.Recovery.Within) > maxLength:
		return fmt.Errorf("history, for and within are from 0 to %v", maxLength)
	case s.Recovery.Within <= s.Recovery.For:
		return fmt.Errorf("recovery: within %v is not longer than for %v", s.Recovery.Within, s.Recovery.For)
	case len(s.Recovery.Goals) == 0:
		return fmt.Errorf("recovery: it has no goals, so nothing could be verified")
	}
	for _, g := range s.Recovery.Goals {
		if g.Served <= 0 || g.Served > 1 || !s.probes(g.Subject) {
			return fmt.Errorf("recovery: goal of %q: want served from 0%% to 100%%, of users or of what stage: probes names", g.Subject)
		}
	}
	cost := 0.0
	for i, h := range s.Hints {
		if h.Text == "" || h.Cost <= 0 {
			return fmt.Errorf("hint %d: want text and a cost above 0", i+1)
		}
		cost += h.Cost
	}
	if cost > maxHints {
		return fmt.Errorf("hints cost %.0f %% together; at most %.0f %% are allowed", 100*cost, 100*maxHints)
	}
	for _, r := range append(slices.Clone(s.Forbidden), s.Allowed...) {
		if r.Action.Why() == "" || r.Why == "" {
			return fmt.Errorf("forbidden and allowed: %q on %s: want one of %s, and why", r.Action, r.On, list(Actions()))
		}
	}
	if err := s.checkCheats(); err != nil {
		return err
	}
	if s.Healthy {
		return s.checkHealthy()
	}
	return s.checkBroken()
}

func list(actions []Action) string {
	var out []string
	for _, a := range actions {
		out = append(out, string(a))
	}
	return strings.Join(out, ", ")
}

func (s *Scenario) probes(subject string) bool {
	return subject == "users" || slices.Contains(s.Stage.Probes, subject)
}

func (s *Scenario) checkCheats() error {
	names := map[string]bool{}
	for _, c := range s.Cheats {
		if c.Name == "" || c.Because == "" || names[c.Name] {
			return fmt.Errorf("cheat %q: want a name of its own, and because", c.Name)
		}
		names[c.Name] = true
		if c.Diagnoses() && len(c.Do)+len(c.Heals) > 0 {
			return fmt.Errorf("cheat %q: it is either a fix or a diagnosis", c.Name)
		}
		for id, claim := range c.Claim {
			if !s.Healthy && s.Graph.Node(id) == nil {
				return fmt.Errorf("cheat %q: the graph has no node %s", c.Name, id)
			}
			if err := causal.CheckState(claim.Entity, claim.State); err != nil {
				return fmt.Errorf("cheat %q: %w", c.Name, err)
			}
		}
		for _, id := range c.Without {
			if s.Graph.Node(id) == nil {
				return fmt.Errorf("cheat %q: the graph has no node %s", c.Name, id)
			}
		}
	}
	return nil
}

func (s *Scenario) checkHealthy() error {
	if len(s.Graph.Nodes)+len(s.Graph.Edges)+len(s.Aliases)+len(s.Fixes) > 0 {
		return fmt.Errorf("it is healthy, so it has no graph, no aliases and no fixes")
	}
	return s.checkDecoys()
}

func (s *Scenario) checkBroken() error {
	if len(s.Inject) == 0 {
		return fmt.Errorf("it injects nothing, and is not healthy: true")
	}
	for i, x := range s.Inject {
		if (x.Attack == nil) == (x.Change == nil) {
			return fmt.Errorf("inject %d: want either attack or change", i+1)
		}
		if x.After > maxLength {
			return fmt.Errorf("inject %d: after is at most %v", i+1, maxLength)
		}
	}
	if err := s.Graph.Check(); err != nil {
		return fmt.Errorf("graph: %w", err)
	}
	for _, l := range causal.Layers() {
		if len(s.Graph.Of(l)) == 0 {
			return fmt.Errorf("graph: it has no %s", l)
		}
	}
	for _, n := range s.Graph.Nodes {
		symptom := s.Nodes[n.ID]
		if symptom.Window <= 0 || symptom.Window > maxLength || symptom.Says == "" {
			return fmt.Errorf("graph: node %s: want window from 0 to %v, and says", n.ID, maxLength)
		}
		for _, p := range symptom.Witnesses() {
			if err := s.checkPredicate(&p); err != nil {
				return fmt.Errorf("graph: node %s: %w", n.ID, err)
			}
		}
		if n.Layer == causal.Root && !lasts(&symptom.Predicate) {
			return fmt.Errorf("graph: node %s: a root's predicate is about a state, so that it can be seen to go: query, etcd, object or probe", n.ID)
		}
	}
	for i, a := range s.Graph.Nodes {
		for _, b := range s.Graph.Nodes[i+1:] {
			if a.State == b.State && (a.Entity.Matches(b.Entity) || b.Entity.Matches(a.Entity)) {
				return fmt.Errorf("graph: nodes %s and %s cannot be told apart", a.ID, b.ID)
			}
		}
	}
	for i, a := range s.Aliases {
		n := s.Graph.Node(a.Node)
		if n == nil || a.Entity == "" && a.State == "" {
			return fmt.Errorf("alias %d: want node, one of the graph's, and entity, state or both", i+1)
		}
		entity, state := orElse(a.Entity, n.Entity), orElse(a.State, n.State)
		if err := causal.CheckState(entity, state); err != nil {
			return fmt.Errorf("alias %d: %w", i+1, err)
		}
	}
	if err := s.checkDecoys(); err != nil {
		return err
	}
	return s.checkFixes()
}

func orElse[T ~string](a, b T) T {
	if a == "" {
		return b
	}
	return a
}

func (s *Scenario) checkPredicate(p *evidence.Predicate) error {
	if err := p.Check(); err != nil {
		return err
	}
	for _, leaf := range p.Leaves() {
		if leaf.Probe != nil && !s.probes(leaf.Probe.Subject) {
			return fmt.Errorf("probe %q: it is not probed; add it to stage: probes", leaf.Probe.Subject)
		}
	}
	return nil
}

// lasts tells whether a predicate is about a state, not about what happens.
func lasts(p *evidence.Predicate) bool {
	return !slices.ContainsFunc(p.Leaves(), func(l evidence.Predicate) bool { return l.Event != nil || l.Entry != nil || l.Line != nil })
}

func (s *Scenario) checkDecoys() error {
	if len(s.Decoys) == 0 {
		return fmt.Errorf("it has no decoys: what looks right and is not?")
	}
	ids := map[string]bool{}
	for _, d := range s.Decoys {
		if d.ID == "" || d.Why == "" || ids[d.ID] {
			return fmt.Errorf("decoy %q: want an id of its own, and why", d.ID)
		}
		ids[d.ID] = true
		if err := causal.CheckState(d.Entity, d.State); err != nil {
			return fmt.Errorf("decoy %s: %w", d.ID, err)
		}
		if n := s.Match(d.Entity, d.State); n != nil {
			return fmt.Errorf("decoy %s is node %s of the graph", d.ID, n.ID)
		}
		if d.Shown != nil {
			if err := s.checkPredicate(d.Shown); err != nil {
				return fmt.Errorf("decoy %s: %w", d.ID, err)
			}
		}
	}
	return nil
}

func (s *Scenario) checkFixes() error {
	if len(s.Fixes) == 0 {
		return fmt.Errorf("it has no accepted fix")
	}
	attacks := 0
	for _, x := range s.Inject {
		if x.Attack != nil {
			attacks++
		}
	}
	ids := map[string]bool{}
	for _, f := range s.Fixes {
		switch {
		case f.ID == "" || f.Title == "" || ids[f.ID]:
			return fmt.Errorf("fix %q: want an id of its own, and a title", f.ID)
		case len(f.Play) == 0 && len(f.Heals) == 0 && f.Settled == nil:
			return fmt.Errorf("fix %s: it does nothing: want play, heals or settled", f.ID)
		case f.Order != "" && len(f.Heals) == 0:
			return fmt.Errorf("fix %s: an order heals something: want heals", f.ID)
		case slices.ContainsFunc(f.Heals, func(n int) bool { return n < 1 || n > attacks }):
			return fmt.Errorf("fix %s: heals: the attacks are numbered 1 to %d", f.ID, attacks)
		}
		ids[f.ID] = true
		if f.Settled != nil {
			if err := s.checkPredicate(f.Settled); err != nil {
				return fmt.Errorf("fix %s: settled: %w", f.ID, err)
			}
		}
	}
	return nil
}
