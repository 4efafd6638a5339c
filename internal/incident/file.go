package incident

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"zdl/internal/fault"
	"zdl/internal/incident/causal"
	"zdl/internal/yamlfile"
)

// Kind of a scenario's file.
const Kind = "Incident"

// SchemaID names the published schema of scenarios' files.
const SchemaID = "https://zero-downtime-lab.dev/schema/incident.json"

// MaxSize bounds a file, in bytes.
const MaxSize = 256 << 10

// Schema is the JSON Schema of scenarios' files.
func Schema() yamlfile.Node {
	return yamlfile.Schema("An incident of Zero Downtime Lab", SchemaID, Kind, file{})
}

// Read reads a scenario's file; the seed chooses its variant. base is what stands
// before the load's URLs that begin with a slash. Errors name the line.
func Read(data []byte, name, base string, seed uint64) (*Scenario, error) {
	return open(data, name, base, func(v variants) map[string]string { return v.choose(seed) }, seed)
}

// ReadAll reads every variant of a file, so that none is wrong.
func ReadAll(data []byte, name, base string) ([]*Scenario, error) {
	all, err := readVariants(data)
	if err != nil {
		return nil, yamlfile.Explain(name, err)
	}
	var out []*Scenario
	for _, chosen := range all.all() {
		s, err := open(data, name, base, func(variants) map[string]string { return maps.Clone(chosen) }, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func open(data []byte, name, base string, choose func(variants) map[string]string, seed uint64) (*Scenario, error) {
	s, err := read(data, base, choose)
	if err != nil {
		return nil, yamlfile.Explain(name, err)
	}
	s.Name = strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".yaml")
	s.Seed = seed
	return s, nil
}

func read(data []byte, base string, choose func(variants) map[string]string) (*Scenario, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("the file is larger than %d bytes", MaxSize)
	}
	all, err := readVariants(data)
	if err != nil {
		return nil, err
	}
	chosen := choose(all)
	filled, err := fill(data, chosen)
	if err != nil {
		return nil, err
	}
	var f file
	if err := yamlfile.Decode(filled, &f); err != nil {
		return nil, err
	}
	if err := yamlfile.CheckHead(f.APIVersion, f.Kind, Kind); err != nil {
		return nil, err
	}
	s, err := f.scenario(base)
	if err != nil {
		return nil, err
	}
	s.Variant = chosen
	return s, s.Check()
}

func (f *file) scenario(base string) (*Scenario, error) {
	s := &Scenario{
		Title: f.Title, Summary: strings.TrimSpace(f.Summary), Covers: f.Covers, Healthy: f.Healthy, Prevention: f.Prevention,
		Stage: Stage{Profile: f.Stage.Profile, Workload: f.Stage.Workload, History: time.Duration(f.Stage.History), Probes: f.Stage.Probes},
		Page:  Page{Alert: f.Page.Alert, Text: strings.TrimSpace(f.Page.Text), Complaint: strings.TrimSpace(f.Page.Complaint), Dashboards: f.Page.Dashboards},
		Nodes: map[string]Symptom{},
		Recovery: Recovery{
			For: time.Duration(f.Recovery.For), Within: time.Duration(f.Recovery.Within),
		},
	}
	var err error
	if s.Stage.Setup, err = changes(f.Stage.Setup, "stage: setup"); err != nil {
		return nil, err
	}
	if f.Stage.Load != nil {
		if s.Stage.Load, err = f.Stage.Load.Plan(base); err != nil {
			return nil, err
		}
	}
	for i := range f.Inject {
		x := Injection{After: time.Duration(f.Inject[i].After)}
		if a := f.Inject[i].Attack; a != nil {
			r := a.request()
			x.Attack = &r
		}
		if c := f.Inject[i].Change; c != nil {
			one, err := c.change()
			if err != nil {
				return nil, fmt.Errorf("inject %d: %w", i+1, err)
			}
			x.Change = &one
		}
		s.Inject = append(s.Inject, x)
	}
	for _, n := range f.Graph.Nodes {
		s.Graph.Nodes = append(s.Graph.Nodes, causal.Node{ID: n.ID, Layer: n.Layer, Entity: n.Entity.Entity, State: n.State, Optional: n.Optional})
		symptom := Symptom{Predicate: n.Predicate.predicate(), Window: time.Duration(n.Window), Says: strings.TrimSpace(n.Says)}
		for i := range n.Evidence {
			symptom.Evidence = append(symptom.Evidence, n.Evidence[i].predicate())
		}
		s.Nodes[n.ID] = symptom
	}
	for _, e := range f.Graph.Edges {
		s.Graph.Edges = append(s.Graph.Edges, causal.Edge{From: e.From, To: e.To, MaxLag: time.Duration(e.MaxLag)})
	}
	for _, a := range f.Aliases {
		s.Aliases = append(s.Aliases, Alias{a.Node, a.Entity.Entity, a.State})
	}
	for _, d := range f.Decoys {
		one := Decoy{ID: d.ID, Entity: d.Entity.Entity, State: d.State, Why: strings.TrimSpace(d.Why)}
		if d.Shown != nil {
			p := d.Shown.predicate()
			one.Shown = &p
		}
		s.Decoys = append(s.Decoys, one)
	}
	for _, x := range f.Fixes {
		one := Fix{ID: x.ID, Title: x.Title, Heals: x.Heals, Order: x.Order.Entity}
		if x.Settled != nil {
			p := x.Settled.predicate()
			one.Settled = &p
		}
		if one.Play, err = changes(x.Play, "fix "+x.ID); err != nil {
			return nil, err
		}
		s.Fixes = append(s.Fixes, one)
	}
	for _, c := range f.Cheats {
		one := Cheat{Name: c.Name, Heals: c.Heals, Served: c.Served, Without: c.Without, Turned: c.Turned, Because: c.Because}
		if one.Do, err = changes(c.Do, "cheat "+c.Name); err != nil {
			return nil, err
		}
		for id, claim := range c.Claim {
			if one.Claim == nil {
				one.Claim = map[string]Claim{}
			}
			one.Claim[id] = Claim{claim.Entity.Entity, claim.State}
		}
		s.Cheats = append(s.Cheats, one)
	}
	for _, r := range f.Forbidden {
		s.Forbidden = append(s.Forbidden, Rule{r.Action, r.On.Entity, strings.TrimSpace(r.Why)})
	}
	for _, r := range f.Allowed {
		s.Allowed = append(s.Allowed, Rule{r.Action, r.On.Entity, strings.TrimSpace(r.Why)})
	}
	for _, e := range f.MayGo {
		s.MayGo = append(s.MayGo, e.Entity)
	}
	for _, h := range f.Hints {
		s.Hints = append(s.Hints, Hint{strings.TrimSpace(h.Text), float64(h.Cost)})
	}
	for _, g := range f.Recovery.Goals {
		s.Recovery.Goals = append(s.Recovery.Goals, Goal{g.Subject, float64(g.Served), time.Duration(g.P99)})
	}
	return s, nil
}

func changes(texts []changeText, where string) ([]Change, error) {
	var out []Change
	for i := range texts {
		c, err := texts[i].change()
		if err != nil {
			return nil, fmt.Errorf("%s %d: %w", where, i+1, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (t *changeText) change() (Change, error) {
	var c Change
	n := 0
	for verb, object := range map[Verb]causal.Entity{Set: t.Set.Entity, Unset: t.Unset.Entity, Remove: t.Remove.Entity, Restart: t.Restart.Entity, Restore: t.Restore.Entity} {
		if object != "" {
			c.Verb, c.Object = verb, object
			n++
		}
	}
	if t.Apply != "" {
		c.Verb = Apply
		n++
	}
	fielded := c.Verb == Set || c.Verb == Unset
	switch {
	case n != 1:
		return c, fmt.Errorf("a change is exactly one of set, unset, apply, remove, restart, restore")
	case fielded && (t.Field == "" || t.Field[0] != '/'):
		return c, fmt.Errorf("%s %s: want field, a JSON pointer such as /spec/replicas", c.Verb, c.Object)
	case !fielded && t.Field != "":
		return c, fmt.Errorf("field belongs to set and unset")
	case (c.Verb == Set) != (t.Value != nil):
		return c, fmt.Errorf("value belongs to set, which needs it")
	}
	c.Field = t.Field
	if t.Value != nil {
		c.Value = t.Value.v
	}
	var err error
	if c.Verb == Apply {
		c.Manifests, err = manifests(t.Apply)
	}
	return c, err
}

func (a *attackText) request() fault.Request {
	r := fault.Request{Kind: a.Kind, Target: a.Target, Params: a.Params, Mode: a.Mode, Value: a.Value, Force: a.Force,
		Sequence: a.Sequence, Pause: time.Duration(a.Pause)}
	for _, p := range a.Parts {
		r.Parts = append(r.Parts, fault.Request{Kind: p.Kind, Target: p.Target, Params: p.Params, Mode: p.Mode, Value: p.Value, Force: a.Force})
	}
	return r
}
