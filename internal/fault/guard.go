package fault

import (
	"fmt"
	"slices"
	"strings"
)

// Guard bounds what an attack may strike. A refusal can be overridden by force,
// which directors grant to owners only.
type Guard struct {
	// MaxPercent of what a selector stands for may be struck at once when it
	// stands for more than three; 0: no bound.
	MaxPercent int
	// Namespaces whose pods and objects may not be struck.
	Namespaces []string
	// Machines that may not be struck.
	Machines []string
	// Concurrent attacks that may be active; 0: no bound.
	Concurrent int
}

// DefaultGuard keeps the lab itself reachable: probes, load and the API's
// forwards live on the machine "outside".
func DefaultGuard() Guard {
	return Guard{MaxPercent: 70, Machines: []string{"outside"}, Concurrent: 64}
}

func (g *Guard) check(kind *Kind, candidates, chosen []Target) error {
	for _, t := range chosen {
		if slices.Contains(g.Machines, t.Name) || slices.Contains(g.Machines, t.Node) {
			return refuse("%s would strike %s, which the lab itself stands on.", kind.Name, t.Name).hint("choose another target; --force if you mean it")
		}
		if ns, _, ok := strings.Cut(t.Name, "/"); ok && slices.Contains(g.Namespaces, ns) {
			return refuse("%s would strike %s, and the namespace %s is protected.", kind.Name, t.Name, ns).hint("choose another target; --force if you mean it")
		}
	}
	if n := len(candidates); g.MaxPercent > 0 && n > 3 && len(chosen)*100 > n*g.MaxPercent {
		return refuse("%s would strike %d of %d, more than the %d %% that the guard allows.", kind.Name, len(chosen), n, g.MaxPercent).
			hint("a smaller --value or a narrower target; --force if you mean it")
	}
	return nil
}

// clash names what a plan would touch although an active attack does.
func clash(plan *Plan, active []*Attack) error {
	taken := map[string]*Attack{}
	for _, a := range active {
		for _, t := range a.Touches {
			taken[t] = a
		}
	}
	for _, t := range plan.touches() {
		if a := taken[t]; a != nil {
			return refuse("This contradicts the attack %s (%s), which holds %s.", a.ID, a.Kind, t).hint("heal that one first: zdl heal %s", a.ID)
		}
	}
	return nil
}

func (p *Plan) touches() []string {
	var out []string
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			out = append(out, step.Touches()...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// check refuses a plan that touches one thing twice at the same time.
func (p *Plan) check() error {
	seen := map[string]bool{}
	for _, s := range p.Stages {
		for _, step := range s.Steps {
			for _, t := range step.Touches() {
				if seen[t] {
					return refuse("Two parts of this attack contradict each other: both hold %s.", t).hint("leave one of them out")
				}
				seen[t] = true
			}
		}
	}
	if len(seen) == 0 {
		return fmt.Errorf("the plan touches nothing")
	}
	return nil
}
