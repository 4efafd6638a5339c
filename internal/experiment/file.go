package experiment

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/fault"
	"zdl/internal/load"
	"zdl/internal/yamlfile"
)

// Kind of an experiment's file.
const Kind = "Experiment"

// SchemaID names the published schema of experiments' files.
const SchemaID = "https://zero-downtime-lab.dev/schema/experiment.json"

// Schema is the JSON Schema of experiments' files.
func Schema() yamlfile.Node {
	return yamlfile.Schema("A chaos experiment of Zero Downtime Lab", SchemaID, Kind, file{})
}

// file is an experiment as it is written. Its tags are the published schema.
type file struct {
	APIVersion string          `yaml:"apiVersion"`
	Kind       string          `yaml:"kind"`
	Title      string          `yaml:"title" need:"y"`
	Hypothesis string          `yaml:"hypothesis" need:"y" doc:"In words: what is expected to hold."`
	Why        string          `yaml:"why" doc:"What plain Kubernetes does here, and by which setting."`
	Covers     []string        `yaml:"covers"`
	Tags       []string        `yaml:"tags" schema:"{\"items\": {\"enum\": [\"trap\", \"long\"]}}"`
	Setup      []actionText    `yaml:"setup" doc:"Done before the steady state is looked at, undone at the end: kubectl, apply and waiting."`
	Steady     []conditionText `yaml:"steady" doc:"Must hold before, and again at the end. Default: all nodes and pods ready, the service up for 2s."`
	Before     yamlfile.Span   `yaml:"before" doc:"How long the steady state is watched before the method begins; default 5s."`
	After      yamlfile.Span   `yaml:"after" doc:"How long what follows the method is watched; default 10s."`
	Method     []actionText    `yaml:"method" need:"y" schema:"{\"minItems\": 1}"`
	Load       *load.Text      `yaml:"load" doc:"A load file without its head. Without a length it lasts as long as the run."`
	Probe      []string        `yaml:"probe" doc:"What is probed beside the service." schema:"{\"items\": {\"enum\": [\"api\", \"dns\"]}}"`
	Expect     []expectText    `yaml:"expect" need:"y" schema:"{\"minItems\": 1}"`
	Abort      abortText       `yaml:"abort" doc:"When the run is ended early, and everything healed."`
	Guard      guardText       `yaml:"guard" doc:"What the run may strike in all."`
	Recover    yamlfile.Span   `yaml:"recover" doc:"How long the lab may take to be steady again after everything is healed; default 3m."`
	Repeat     int             `yaml:"repeat" schema:"{\"minimum\": 0, \"maximum\": 100}"`
	Seed       uint64          `yaml:"seed" doc:"Of everything that is left to chance; default 1."`
	Short      shortText       `yaml:"short" doc:"The short form: longer pauses are cut to these."`
}

type abortText struct {
	Outage     yamlfile.Span `yaml:"outage" doc:"An outage lasts longer than this."`
	Failed     percent       `yaml:"failed" doc:"A larger share of the requests of the last ten seconds failed."`
	NodesReady int           `yaml:"nodesReady" doc:"Fewer nodes are Ready." schema:"{\"minimum\": 0}"`
}

type guardText struct {
	Targets int `yaml:"targets" doc:"Different targets, of all attacks together." schema:"{\"minimum\": 0}"`
}

type shortText struct {
	Before yamlfile.Span `yaml:"before" doc:"Default 1s."`
	Pause  yamlfile.Span `yaml:"pause" doc:"Of each action; default 6s."`
	After  yamlfile.Span `yaml:"after" doc:"Default 3s."`
}

type actionText struct {
	Name    string         `yaml:"name" doc:"To be healed by."`
	At      yamlfile.Span  `yaml:"at" doc:"When it is done, since the method began."`
	After   yamlfile.Span  `yaml:"after" doc:"A pause before it."`
	When    *conditionText `yaml:"when" doc:"What it waits for."`
	Within  yamlfile.Span  `yaml:"within" doc:"How long it waits for that; default 1m."`
	Attack  *attackText    `yaml:"attack"`
	Heal    string         `yaml:"heal" doc:"The name of an attack, or all."`
	Kubectl command        `yaml:"kubectl"`
	Apply   string         `yaml:"apply" doc:"Manifests, deleted at the end of the run."`
	Fails   part           `yaml:"fails" doc:"kubectl is to fail, and to say this (a regular expression)."`
	Keep    command        `yaml:"keep" doc:"An object, as kubectl get names it, that is put back as it was at the end of the run."`
	Undo    commands       `yaml:"undo" doc:"kubectl's arguments at the end of the run, whatever happened."`
}

type attackText struct {
	Kind     string            `yaml:"kind" doc:"zdl faults lists them."`
	Target   string            `yaml:"target"`
	Params   map[string]string `yaml:"params" schema:"{\"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}"`
	For      yamlfile.Span     `yaml:"for" doc:"Default: until it is healed, at the latest at the end of the run."`
	Mode     fault.Mode        `yaml:"mode" schema:"{\"enum\": [\"one\", \"all\", \"fixed\", \"fixed-percent\", \"random-max-percent\"]}"`
	Value    int               `yaml:"value"`
	Force    bool              `yaml:"force" doc:"Override the engine's guard."`
	Parts    []attackPart      `yaml:"parts" doc:"Several faults as one, with one undo."`
	Sequence bool              `yaml:"sequence"`
	Pause    yamlfile.Span     `yaml:"pause"`
}

// attackPart is a part of a compound attack, which has no parts itself.
type attackPart struct {
	Kind   string            `yaml:"kind" need:"y"`
	Target string            `yaml:"target"`
	Params map[string]string `yaml:"params" schema:"{\"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}"`
	Mode   fault.Mode        `yaml:"mode" schema:"{\"enum\": [\"one\", \"all\", \"fixed\", \"fixed-percent\", \"random-max-percent\"]}"`
	Value  int               `yaml:"value"`
	Force  bool              `yaml:"force"`
}

type conditionText struct {
	NodesReady  count         `yaml:"nodesReady" doc:"At least so many nodes are Ready; all also means that none is cordoned."`
	PodsReady   count         `yaml:"podsReady" doc:"At least so many pods of the service are ready."`
	ServiceUp   yamlfile.Span `yaml:"serviceUp" doc:"The probe's requests were answered for so long."`
	SystemReady bool          `yaml:"systemReady" doc:"Every pod of the system is ready."`
	Failed      *percent      `yaml:"failed" doc:"At most this share of the requests of the last ten seconds failed."`
	P99         yamlfile.Span `yaml:"p99" doc:"99 % of the answers of the last ten seconds came within this."`
	Event       *eventText    `yaml:"event" doc:"The timeline has such an entry since the method began."`
	Rollout     *rolloutText  `yaml:"rollout" doc:"A deployment's rollout has come so far."`
}

type rolloutText struct {
	Deployment string  `yaml:"deployment" need:"y" doc:"namespace/name"`
	Done       percent `yaml:"done" need:"y" doc:"Share of its replicas that are new and ready."`
}

type eventText struct {
	Kind    string  `yaml:"kind" need:"y"`
	Subject pattern `yaml:"subject" doc:"A regular expression that matches the whole subject."`
	Text    pattern `yaml:"text" doc:"A regular expression that matches the whole text."`
}

type seenText struct {
	Kind      string        `yaml:"kind" need:"y"`
	Subject   pattern       `yaml:"subject"`
	Text      pattern       `yaml:"text"`
	Within    yamlfile.Span `yaml:"within" doc:"Since the first fault."`
	NotBefore yamlfile.Span `yaml:"notBefore" doc:"Since the first fault."`
	Never     bool          `yaml:"never"`
	Count     int           `yaml:"count" doc:"At least so many." schema:"{\"minimum\": 0}"`
	AtMost    *int          `yaml:"atMost" doc:"At most so many." schema:"{\"minimum\": 0}"`
}

type expectText struct {
	Outage   *lengthText `yaml:"outage" doc:"All outages together."`
	Longest  *lengthText `yaml:"longest" doc:"The longest outage."`
	Failed   *shareText  `yaml:"failed" doc:"Of the probe's requests."`
	Recovery *withinText `yaml:"recovery" doc:"Until everything steady holds again."`
	Event    *seenText   `yaml:"event" doc:"An entry of the timeline."`
	Leader   *leaderText `yaml:"leader" doc:"Another one leads."`
	Alert    *alertText  `yaml:"alert" doc:"Monitoring noticed."`
	Load     string      `yaml:"load" doc:"The load's thresholds hold." schema:"{\"enum\": [\"passes\"]}"`
	Lost     *lostText   `yaml:"lost" doc:"Every acknowledged write is there when it is read."`
	Knee     *kneeText   `yaml:"knee" doc:"Where the load's curve bends."`
	Improve  string      `yaml:"improve" doc:"What to change where this is not met."`
}

type lengthText struct {
	AtMost  *yamlfile.Span `yaml:"atMost"`
	AtLeast *yamlfile.Span `yaml:"atLeast"`
	Of      string         `yaml:"of" doc:"What was probed; default the service." schema:"{\"enum\": [\"api\", \"dns\"]}"`
}

type shareText struct {
	AtMost  *percent `yaml:"atMost"`
	AtLeast *percent `yaml:"atLeast"`
}

type withinText struct {
	Within yamlfile.Span `yaml:"within" need:"y"`
	Of     string        `yaml:"of" doc:"Default fault." schema:"{\"enum\": [\"fault\", \"heal\"]}"`
}

type leaderText struct {
	Of     string        `yaml:"of" need:"y" schema:"{\"enum\": [\"etcd\", \"kube-scheduler\", \"kube-controller-manager\"]}"`
	Within yamlfile.Span `yaml:"within" need:"y"`
}

type alertText struct {
	Name   string        `yaml:"name" need:"y"`
	Within yamlfile.Span `yaml:"within" need:"y"`
}

type lostText struct {
	Of string `yaml:"of" need:"y" schema:"{\"enum\": [\"api\"]}"`
}

type kneeText struct {
	AtLeast float64 `yaml:"atLeast" need:"y" doc:"Journeys a second."`
}

// endless gives a constant schedule without a length one that no run exceeds.
func endless(n *yaml.Node) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, schedule := n.Content[i].Value, n.Content[i+1]
		if key != "arrivals" && key != "users" || schedule.Kind != yaml.MappingNode {
			continue
		}
		for k := 0; k+1 < len(schedule.Content); k += 2 {
			if name := schedule.Content[k].Value; name == "for" || name == "stages" {
				return false
			}
		}
		schedule.Content = append(schedule.Content,
			&yaml.Node{Kind: yaml.ScalarNode, Value: "for"}, &yaml.Node{Kind: yaml.ScalarNode, Value: maxLength.String()})
		return true
	}
	return false
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
		Title: f.Title, Hypothesis: strings.TrimSpace(f.Hypothesis), Why: strings.TrimSpace(f.Why), Covers: f.Covers, Tags: f.Tags,
		Before: time.Duration(f.Before), After: time.Duration(f.After), Probe: f.Probe,
		Abort:   Abort{time.Duration(f.Abort.Outage), float64(f.Abort.Failed), f.Abort.NodesReady},
		Guard:   Guard{f.Guard.Targets},
		Recover: time.Duration(f.Recover), Repeat: f.Repeat, Seed: f.Seed,
		Short: Short{time.Duration(f.Short.Before), time.Duration(f.Short.Pause), time.Duration(f.Short.After)},
	}
	for i := range f.Steady {
		e.Steady = append(e.Steady, *f.Steady[i].condition())
	}
	for i := range f.Setup {
		e.Setup = append(e.Setup, f.Setup[i].action())
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
	if f.Load != nil {
		var err error
		e.LoadUntilOver = endless(&f.Load.Node)
		if e.Load, err = f.Load.Plan(base); err != nil {
			return nil, err
		}
	}
	return e, e.Check()
}

func (c *conditionText) condition() *Condition {
	if c == nil {
		return nil
	}
	out := &Condition{NodesReady: int(c.NodesReady), PodsReady: int(c.PodsReady), ServiceUp: time.Duration(c.ServiceUp),
		SystemReady: c.SystemReady, Failed: (*float64)(c.Failed), P99: time.Duration(c.P99)}
	if c.Event != nil {
		out.Event = &Event{c.Event.Kind, c.Event.Subject.Regexp, c.Event.Text.Regexp}
	}
	if c.Rollout != nil {
		out.Rollout = &Rollout{c.Rollout.Deployment, float64(c.Rollout.Done)}
	}
	return out
}

func (a *actionText) action() Action {
	out := Action{
		Name: a.Name, At: time.Duration(a.At), After: time.Duration(a.After), When: a.When.condition(), Within: time.Duration(a.Within),
		Heal: a.Heal, Kubectl: a.Kubectl, Apply: a.Apply, Fails: a.Fails.Regexp, Keep: a.Keep, Undo: a.Undo,
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
	for _, p := range a.Parts {
		r.Parts = append(r.Parts, fault.Request{Kind: p.Kind, Target: p.Target, Params: p.Params, Mode: p.Mode, Value: p.Value, Force: p.Force})
	}
	if len(r.Parts) > 0 && r.Kind == "" {
		r.Kind = "compound"
	}
	return r
}

func (x *expectText) expectation() (Expectation, error) {
	out := Expectation{Improve: strings.TrimSpace(x.Improve), Outage: x.Outage.length(), Longest: x.Longest.length()}
	if x.Failed != nil {
		out.Failed = &Share{(*float64)(x.Failed.AtMost), (*float64)(x.Failed.AtLeast)}
	}
	if x.Recovery != nil {
		out.Recovery = &Within{time.Duration(x.Recovery.Within), x.Recovery.Of}
		if out.Recovery.Of == "" {
			out.Recovery.Of = "fault"
		}
	}
	if s := x.Event; s != nil {
		out.Event = &Seen{Event: Event{s.Kind, s.Subject.Regexp, s.Text.Regexp},
			Within: time.Duration(s.Within), NotBefore: time.Duration(s.NotBefore), Never: s.Never, Count: s.Count, AtMost: s.AtMost}
	}
	if x.Leader != nil {
		out.Leader = &Leader{x.Leader.Of, time.Duration(x.Leader.Within)}
	}
	if x.Alert != nil {
		out.Alert = &Alert{x.Alert.Name, time.Duration(x.Alert.Within)}
	}
	if x.Lost != nil {
		out.Lost = &Lost{x.Lost.Of}
	}
	if x.Knee != nil {
		out.Knee = &Knee{x.Knee.AtLeast}
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
	return &Length{(*time.Duration)(l.AtMost), (*time.Duration)(l.AtLeast), l.Of}
}
