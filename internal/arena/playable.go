package arena

import (
	"fmt"
	"slices"
	"strings"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// arsenal is what a level's weapons come to on a lab.
type arsenal struct {
	weapons []Weapon
	files   map[string]*WeaponFile
	kinds   map[string]*fault.Kind // by weapon
	groups  [][]string             // of each group of targets: its weapons that can be used
	lacking []string               // weapons that cannot, with the reason
}

// arm looks up the weapons of a level in the catalogue. An error means that the
// level is wrong; what is merely not available here is left out and told.
func arm(l *Level, catalogue []fault.Kind, have []cluster.Capability) (*arsenal, error) {
	a := &arsenal{files: map[string]*WeaponFile{}, kinds: map[string]*fault.Kind{}, groups: make([][]string, len(l.Targets))}
	for i := range l.Weapons {
		w := &l.Weapons[i]
		k := findKind(catalogue, w.Fault)
		if k == nil {
			return nil, fmt.Errorf("%s: the weapon %s: there is no fault %q; zdl faults lists them", l.File, w.Name, w.Fault)
		}
		if err := fits(k, w); err != nil {
			return nil, fmt.Errorf("%s: the weapon %s: %w", l.File, w.Name, err)
		}
		if why := unable(k, have); why != "" {
			a.lacking = append(a.lacking, fmt.Sprintf("%s: %s", w.Name, why))
			continue
		}
		a.add(w, k)
	}
	if l.Catalogue {
		a.addAll(l, catalogue, have)
	}
	for i := range l.Targets {
		if err := a.armGroup(l, i); err != nil {
			return nil, fmt.Errorf("%s: %w", l.File, err)
		}
	}
	return a, nil
}

// fits checks a weapon's parameters against the kind's; values are checked by
// the engine itself.
func fits(k *fault.Kind, w *WeaponFile) error {
	for name := range w.Params {
		if !slices.ContainsFunc(k.Params, func(p fault.Param) bool { return p.Name == name }) {
			return fmt.Errorf("the fault %s has no parameter %q", k.Name, name)
		}
	}
	for _, p := range k.Params {
		if p.Required && w.Params[p.Name] == "" {
			return fmt.Errorf("the fault %s needs the parameter %s: %s", k.Name, p.Name, p.Help)
		}
	}
	if k.Instant && w.For != 0 {
		return fmt.Errorf("the fault %s is over at once, so it cannot last", k.Name)
	}
	return nil
}

func findKind(catalogue []fault.Kind, name string) *fault.Kind {
	for i := range catalogue {
		if catalogue[i].Name == name {
			return &catalogue[i]
		}
	}
	return nil
}

func unable(k *fault.Kind, have []cluster.Capability) string {
	if k.Unavailable != "" {
		return k.Unavailable
	}
	return fault.Able(k.Needs, have)
}

func (a *arsenal) add(w *WeaponFile, k *fault.Kind) {
	a.files[w.Name], a.kinds[w.Name] = w, k
	a.weapons = append(a.weapons, Weapon{Name: w.Name, Title: w.Title, Key: w.Key, Fault: k.Name, Summary: k.Summary, Targets: []string{}})
}

// addAll makes a weapon of every other fault that can be used without saying more.
func (a *arsenal) addAll(l *Level, catalogue []fault.Kind, have []cluster.Capability) {
	named := map[string]bool{} // faults that have a weapon
	for i := range l.Weapons {
		named[l.Weapons[i].Fault] = true
	}
	for i := range catalogue {
		k := &catalogue[i]
		required := slices.ContainsFunc(k.Params, func(p fault.Param) bool { return p.Required })
		if required || unable(k, have) != "" || slices.Contains(l.Except, k.Name) || a.kinds[k.Name] != nil || named[k.Name] || k.Name == "compound" {
			continue
		}
		a.add(&WeaponFile{Name: k.Name, Title: strings.ReplaceAll(k.Name, "-", " "), Fault: k.Name, Damage: l.Rules.Damage}, k)
	}
}

// armGroup notes which weapons may be used on a group of targets.
func (a *arsenal) armGroup(l *Level, i int) error {
	g := &l.Targets[i]
	t := targetFor(g)
	names := slices.Clone(g.Weapons)
	if l.Catalogue {
		for _, w := range a.weapons {
			if l.weapon(w.Name) == nil && offered(a.kinds[w.Name], g, &t) {
				names = append(names, w.Name)
			}
		}
	}
	for _, name := range names {
		k := a.kinds[name]
		if k == nil {
			continue // not available here
		}
		if _, _, ok := selector(k, &t); !ok {
			return fmt.Errorf("the weapon %s (%s) cannot strike targets of kind %s", name, k.Name, g.Kind)
		}
		a.groups[i] = append(a.groups[i], name)
		for j := range a.weapons {
			if w := &a.weapons[j]; w.Name == name && !slices.Contains(w.Targets, g.Kind) {
				w.Targets = append(w.Targets, g.Kind)
			}
		}
	}
	return nil
}

// offered tells whether a fault of the catalogue makes sense for targets that the
// level does not name it for: those of a component are for that alone.
func offered(k *fault.Kind, g *TargetGroup, t *seen) bool {
	if _, _, ok := selector(k, t); !ok {
		return false
	}
	if g.Kind == KindComponent {
		return concerns(k.Name, t.name)
	}
	if g.Kind == KindLab {
		return true
	}
	for _, part := range []string{"etcd-", "apiserver-", "database-"} {
		if strings.HasPrefix(k.Name, part) {
			return part == "database-" && slices.Contains(g.Select.App, "postgres")
		}
	}
	return true
}

// playable says why a level cannot be played on a lab, "" when it can; absent:
// only because there is nothing to strike.
func playable(l *Level, a *arsenal, s *cluster.Snapshot, have []cluster.Capability) (why string, absent bool) {
	if why := fault.Able(l.Needs, have); why != "" {
		return why, false
	}
	counts := make([]int, len(l.Targets))
	for _, t := range look(l, s) {
		counts[t.group]++
	}
	for i := range l.Targets {
		g := &l.Targets[i]
		switch {
		case g.Optional:
		case len(a.groups[i]) == 0:
			return "none of its weapons can be used here: " + strings.Join(a.lacking, "; "), false
		case counts[i] == 0:
			return "this lab has no " + g.describe(), true
		case counts[i] < g.AtLeast:
			return fmt.Sprintf("it needs %d × %s, and this lab has %d", g.AtLeast, g.describe(), counts[i]), true
		}
	}
	return "", false
}

// describe names the targets of a group for people.
func (g *TargetGroup) describe() string {
	s := &g.Select
	switch {
	case g.Kind == KindPod && s.Of != "":
		return "pod of the " + s.Of
	case g.Kind == KindPod && len(s.App) > 0:
		return fmt.Sprintf("pod %s in the namespace %s", strings.Join(s.App, " or "), s.Namespace)
	case g.Kind == KindPod:
		return "pod in the namespace " + s.Namespace
	case s.Role != "":
		return "node (" + s.Role + ")"
	case s.Machine == "edge":
		return "load balancer"
	case s.Machine == "router":
		return "router"
	case len(s.Component) > 0:
		return strings.Join(s.Component, " or ")
	}
	return g.Kind
}

// CheckWeapons tells whether the weapons of a level fit a catalogue, as they must
// for it to be listed.
func CheckWeapons(l *Level, catalogue []fault.Kind) error {
	_, err := arm(l, catalogue, nil)
	return err
}
