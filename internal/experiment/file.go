package experiment

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/yamlfile"
)

// Kind of an experiment's file.
const Kind = "Experiment"

type file struct {
	APIVersion  string          `yaml:"apiVersion"`
	Kind        string          `yaml:"kind"`
	Title       string          `yaml:"title"`
	Hypothesis  string          `yaml:"hypothesis"`
	Why         string          `yaml:"why"`
	Covers      []string        `yaml:"covers"`
	Steady      []conditionText `yaml:"steady"`
	Before      yamlfile.Span   `yaml:"before"`
	After       yamlfile.Span   `yaml:"after"`
	Method      []actionText    `yaml:"method"`
	Load        yaml.Node       `yaml:"load"`
	Expect      []expectText    `yaml:"expect"`
	AbortOutage yamlfile.Span   `yaml:"abortOutage"`
	Recover     yamlfile.Span   `yaml:"recover"`
	Repeat      int             `yaml:"repeat"`
	Seed        uint64          `yaml:"seed"`
}

type actionText struct {
	Name    string         `yaml:"name"`
	After   yamlfile.Span  `yaml:"after"`
	When    *conditionText `yaml:"when"`
	Within  yamlfile.Span  `yaml:"within"`
	Attack  *attackText    `yaml:"attack"`
	Heal    string         `yaml:"heal"`
	Kubectl string         `yaml:"kubectl"`
	Undo    string         `yaml:"undo"`
}

type attackText struct {
	Kind     string            `yaml:"kind"`
	Target   string            `yaml:"target"`
	Params   map[string]string `yaml:"params"`
	For      yamlfile.Span     `yaml:"for"`
	Mode     fault.Mode        `yaml:"mode"`
	Value    int               `yaml:"value"`
	Force    bool              `yaml:"force"`
	Parts    []attackText      `yaml:"parts"`
	Sequence bool              `yaml:"sequence"`
	Pause    yamlfile.Span     `yaml:"pause"`
}

type conditionText struct {
	NodesReady  count         `yaml:"nodesReady"`
	PodsReady   count         `yaml:"podsReady"`
	ServiceUp   yamlfile.Span `yaml:"serviceUp"`
	SystemReady bool          `yaml:"systemReady"`
	Event       *eventText    `yaml:"event"`
}

type eventText struct {
	Kind    string        `yaml:"kind"`
	Subject pattern       `yaml:"subject"`
	Text    pattern       `yaml:"text"`
	Within  yamlfile.Span `yaml:"within"`
	Never   bool          `yaml:"never"`
	Count   int           `yaml:"count"`
}

type expectText struct {
	Outage   *lengthText `yaml:"outage"`
	Longest  *lengthText `yaml:"longest"`
	Failed   *shareText  `yaml:"failed"`
	Recovery *withinText `yaml:"recovery"`
	Event    *eventText  `yaml:"event"`
	Load     string      `yaml:"load"` // passes
	Improve  string      `yaml:"improve"`
}

type lengthText struct {
	AtMost  *yamlfile.Span `yaml:"atMost"`
	AtLeast *yamlfile.Span `yaml:"atLeast"`
}

type shareText struct {
	AtMost percent `yaml:"atMost"`
}

type withinText struct {
	Within yamlfile.Span `yaml:"within"`
	Of     string        `yaml:"of"`
}

// count is a number, or all.
type count int

func (c *count) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "all" {
		*c = -1
		return nil
	}
	v, err := strconv.Atoi(n.Value)
	if err != nil || v < 1 {
		return fmt.Errorf("line %d: %q is not a count: want all, or a number from 1", n.Line, n.Value)
	}
	*c = count(v)
	return nil
}

// percent is a share of requests.
type percent float64

func (p *percent) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(n.Value, "%"), 64)
	if err != nil || v < 0 || v > 100 {
		return fmt.Errorf("line %d: %q is not a percentage such as 0.1%%", n.Line, n.Value)
	}
	*p = percent(v / 100)
	return nil
}

// pattern is a regular expression that must match the whole text.
type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalYAML(n *yaml.Node) error {
	re, err := regexp.Compile("^(?:" + n.Value + ")$")
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	p.Regexp = re
	return nil
}

// Read reads an experiment's file. base is what stands before the load's URLs
// that begin with a slash. Errors name the line.
func Read(data []byte, name, base string) (*Experiment, error) {
	e, err := read(data, base)
	if err != nil {
		return nil, yamlfile.Explain(name, err)
	}
	e.Name = strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".yaml")
	return e, nil
}

func read(data []byte, base string) (*Experiment, error) {
	var f file
	if err := yamlfile.Decode(data, &f); err != nil {
		return nil, err
	}
	if err := yamlfile.CheckHead(f.APIVersion, f.Kind, Kind); err != nil {
		return nil, err
	}
	e := &Experiment{
		Title: f.Title, Hypothesis: strings.TrimSpace(f.Hypothesis), Why: strings.TrimSpace(f.Why), Covers: f.Covers,
		Before: time.Duration(f.Before), After: time.Duration(f.After), AbortOutage: time.Duration(f.AbortOutage),
		Recover: time.Duration(f.Recover), Repeat: f.Repeat, Seed: f.Seed,
	}
	for i := range f.Steady {
		e.Steady = append(e.Steady, *f.Steady[i].condition())
	}
	for i := range f.Method {
		e.Method = append(e.Method, f.Method[i].action())
	}
	for i := range f.Expect {
		x, err := f.Expect[i].expectation()
		if err != nil {
			return nil, fmt.Errorf("expect %d: %w", i+1, err)
		}
		e.Expect = append(e.Expect, x)
	}
	if f.Load.Kind != 0 {
		text, err := yaml.Marshal(&f.Load)
		if err != nil {
			return nil, err
		}
		head := fmt.Sprintf("apiVersion: %s\nkind: %s\n", yamlfile.APIVersion, load.Kind)
		if e.Load, err = load.Read(append([]byte(head), text...), "load", base); err != nil {
			return nil, err
		}
	}
	return e, e.Check()
}

func (c *conditionText) condition() *Condition {
	if c == nil {
		return nil
	}
	return &Condition{NodesReady: int(c.NodesReady), PodsReady: int(c.PodsReady), ServiceUp: time.Duration(c.ServiceUp), SystemReady: c.SystemReady, Event: c.Event.event()}
}

func (t *eventText) event() *Event {
	if t == nil {
		return nil
	}
	return &Event{Kind: t.Kind, Subject: t.Subject.Regexp, Text: t.Text.Regexp}
}

func (a *actionText) action() Action {
	out := Action{
		Name: a.Name, After: time.Duration(a.After), When: a.When.condition(), Within: time.Duration(a.Within),
		Heal: a.Heal, Kubectl: strings.Fields(a.Kubectl), Undo: strings.Fields(a.Undo),
	}
	if a.Attack != nil {
		r := a.Attack.request()
		out.Attack = &r
	}
	return out
}

func (a *attackText) request() fault.Request {
	r := fault.Request{
		Kind: a.Kind, Target: a.Target, Params: a.Params, For: time.Duration(a.For), Mode: a.Mode, Value: a.Value, Force: a.Force,
		Sequence: a.Sequence, Pause: time.Duration(a.Pause),
	}
	for i := range a.Parts {
		r.Parts = append(r.Parts, a.Parts[i].request())
	}
	if len(r.Parts) > 0 && r.Kind == "" {
		r.Kind = "compound"
	}
	return r
}

func (x *expectText) expectation() (Expectation, error) {
	out := Expectation{Improve: strings.TrimSpace(x.Improve), Outage: x.Outage.length(), Longest: x.Longest.length()}
	if x.Failed != nil {
		out.Failed = &Share{float64(x.Failed.AtMost)}
	}
	if x.Recovery != nil {
		out.Recovery = &Within{time.Duration(x.Recovery.Within), x.Recovery.Of}
		if out.Recovery.Of == "" {
			out.Recovery.Of = "fault"
		}
	}
	if x.Event != nil {
		out.Event = &Seen{Event: *x.Event.event(), Within: time.Duration(x.Event.Within), Never: x.Event.Never, Count: x.Event.Count}
	}
	switch x.Load {
	case "":
	case "passes":
		out.Load = &Passed{}
	default:
		return out, fmt.Errorf("load: %q: want passes", x.Load)
	}
	return out, nil
}

func (l *lengthText) length() *Length {
	if l == nil {
		return nil
	}
	return &Length{(*time.Duration)(l.AtMost), (*time.Duration)(l.AtLeast)}
}
