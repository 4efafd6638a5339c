package incident

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"zdl/internal/fault"
	"zdl/internal/incident/causal"
	"zdl/internal/load"
	"zdl/internal/yamlfile"
)

// file is a scenario as it is written. Its tags are the published schema.
type file struct {
	APIVersion string                `yaml:"apiVersion"`
	Kind       string                `yaml:"kind"`
	Title      string                `yaml:"title" need:"y" doc:"For the list. Does not give the cause away."`
	Summary    string                `yaml:"summary" need:"y" doc:"What a trainee may know before it begins. Does not give the cause away."`
	Covers     []string              `yaml:"covers"`
	Variants   [][]map[string]string `yaml:"variants" doc:"Groups of rows of values; the seed takes one row of each group, and ${NAME} stands for its value everywhere in the file." schema:"{\"items\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"additionalProperties\": {\"type\": [\"string\", \"number\"]}}}}"`
	Stage      stageText             `yaml:"stage" need:"y"`
	Inject     []injectionText       `yaml:"inject" doc:"What breaks it, in order."`
	Page       pageText              `yaml:"page" need:"y"`
	Healthy    bool                  `yaml:"healthy" doc:"Nothing is wrong: to report anything is."`
	Graph      graphText             `yaml:"graph"`
	Aliases    []aliasText           `yaml:"aliases"`
	Decoys     []decoyText           `yaml:"decoys"`
	Fixes      []fixText             `yaml:"fixes"`
	Cheats     []cheatText           `yaml:"cheats" doc:"Ways to be wrong, and the reason for which each must be refused."`
	Forbidden  []ruleText            `yaml:"forbidden" doc:"Short cuts of this scenario; those that are always forbidden need not be named."`
	Allowed    []ruleText            `yaml:"allowed" doc:"Exceptions from what is always forbidden."`
	MayGo      []entityPattern       `yaml:"mayGo" doc:"Objects that a fix may delete or make anew."`
	Hints      []hintText            `yaml:"hints"`
	Recovery   recoveryText          `yaml:"recovery" need:"y"`
	Prevention []string              `yaml:"prevention" doc:"Experiments that prove what would have prevented it."`
}

type stageText struct {
	Profile  string        `yaml:"profile" schema:"{\"enum\": [\"small\", \"ha\", \"shop\"]}"`
	Workload string        `yaml:"workload" schema:"{\"enum\": [\"web\", \"shop\"]}"`
	Setup    []changeText  `yaml:"setup"`
	Load     *load.Text    `yaml:"load" doc:"A load file without its head."`
	History  yamlfile.Span `yaml:"history" doc:"How long it runs before anything breaks; default 60s."`
	Probes   []string      `yaml:"probes" doc:"What is probed beside the users' requests. Of policy, a request fails that a network policy forbids and that passes." schema:"{\"items\": {\"enum\": [\"api\", \"dns\", \"https\", \"policy\"]}}"`
}

type injectionText struct {
	After  yamlfile.Span `yaml:"after"`
	Attack *attackText   `yaml:"attack"`
	Change *changeText   `yaml:"change"`
}

type attackText struct {
	Kind     string            `yaml:"kind" need:"y" doc:"zdl faults lists them."`
	Target   string            `yaml:"target"`
	Params   map[string]string `yaml:"params" schema:"{\"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}"`
	Mode     fault.Mode        `yaml:"mode" schema:"{\"enum\": [\"one\", \"all\", \"fixed\", \"fixed-percent\", \"random-max-percent\"]}"`
	Value    int               `yaml:"value"`
	Force    bool              `yaml:"force"`
	Parts    []attackPart      `yaml:"parts" doc:"Of kind compound."`
	Sequence bool              `yaml:"sequence"`
	Pause    yamlfile.Span     `yaml:"pause"`
}

type attackPart struct {
	Kind   string            `yaml:"kind" need:"y"`
	Target string            `yaml:"target"`
	Params map[string]string `yaml:"params" schema:"{\"additionalProperties\": {\"type\": [\"string\", \"number\", \"boolean\"]}}"`
	Mode   fault.Mode        `yaml:"mode" schema:"{\"enum\": [\"one\", \"all\", \"fixed\", \"fixed-percent\", \"random-max-percent\"]}"`
	Value  int               `yaml:"value"`
}

type changeText struct {
	Set     entityText `yaml:"set" doc:"An object of which field gets value."`
	Unset   entityText `yaml:"unset" doc:"An object that loses field."`
	Field   string     `yaml:"field" doc:"A JSON pointer."`
	Value   *anything  `yaml:"value"`
	Apply   string     `yaml:"apply" doc:"Manifests."`
	Remove  entityText `yaml:"remove"`
	Restart entityText `yaml:"restart" doc:"As kubectl rollout restart."`
	Restore entityText `yaml:"restore" doc:"The object as it was before the injection; of fixes."`
}

type pageText struct {
	Alert      string   `yaml:"alert" need:"y"`
	Text       string   `yaml:"text" need:"y"`
	Complaint  string   `yaml:"complaint" need:"y"`
	Dashboards []string `yaml:"dashboards"`
}

type graphText struct {
	Nodes []nodeText `yaml:"nodes" need:"y"`
	Edges []edgeText `yaml:"edges" need:"y"`
}

type nodeText struct {
	ID        string          `yaml:"id" need:"y"`
	Layer     causal.Layer    `yaml:"layer" need:"y" schema:"{\"enum\": [\"effect\", \"mechanism\", \"root\"]}"`
	Entity    entityPattern   `yaml:"entity" need:"y"`
	State     causal.State    `yaml:"state" need:"y"`
	Optional  bool            `yaml:"optional" doc:"A diagnosis may leave it out."`
	Predicate predicateText   `yaml:"predicate" need:"y" doc:"Must come true in each run."`
	Window    yamlfile.Span   `yaml:"window" need:"y" doc:"How long after the injection it may come true."`
	Evidence  []predicateText `yaml:"evidence" doc:"What else proves it."`
	Says      string          `yaml:"says" need:"y" doc:"What it is and how it comes about, for afterwards."`
}

type edgeText struct {
	From   string        `yaml:"from" need:"y"`
	To     string        `yaml:"to" need:"y"`
	MaxLag yamlfile.Span `yaml:"maxLag" need:"y"`
}

type aliasText struct {
	Node   string        `yaml:"node" need:"y"`
	Entity entityPattern `yaml:"entity"`
	State  causal.State  `yaml:"state"`
}

type decoyText struct {
	ID     string         `yaml:"id" need:"y"`
	Entity entityPattern  `yaml:"entity" need:"y"`
	State  causal.State   `yaml:"state" need:"y"`
	Why    string         `yaml:"why" need:"y" doc:"Why it cannot explain the symptom."`
	Shown  *predicateText `yaml:"shown" doc:"What makes it look like the cause."`
}

type fixText struct {
	ID      string         `yaml:"id" need:"y"`
	Title   string         `yaml:"title" need:"y"`
	Settled *predicateText `yaml:"settled" doc:"What shows that the root does no harm any more, where it is not gone."`
	Play    []changeText   `yaml:"play" doc:"What the fix does to objects."`
	Order   entityText     `yaml:"order" doc:"What the trainee has repaired or replaced by those who run the machines: a link, a disk."`
	Heals   []int          `yaml:"heals" doc:"Numbers of the attacks that it ends, from 1." schema:"{\"items\": {\"type\": \"integer\", \"minimum\": 1}}"`
}

type cheatText struct {
	Name    string               `yaml:"name" need:"y"`
	Do      []changeText         `yaml:"do" doc:"Of a fix: what it does."`
	Heals   []int                `yaml:"heals"`
	Served  bool                 `yaml:"served" doc:"Of a fix: users are served all the same."`
	Claim   map[string]claimText `yaml:"claim" doc:"Of a diagnosis: what is said in place of nodes."`
	Without []string             `yaml:"without" doc:"Of a diagnosis: nodes that it leaves out."`
	Turned  bool                 `yaml:"turned" doc:"Of a diagnosis: its links are turned round."`
	Because string               `yaml:"because" need:"y"`
}

type claimText struct {
	Entity entityText   `yaml:"entity" need:"y"`
	State  causal.State `yaml:"state" need:"y"`
}

type ruleText struct {
	Action Action        `yaml:"action" need:"y"`
	On     entityPattern `yaml:"on" need:"y"`
	Why    string        `yaml:"why" need:"y"`
}

type hintText struct {
	Text string `yaml:"text" need:"y"`
	Cost number `yaml:"cost" need:"y" doc:"Share of the points."`
}

type recoveryText struct {
	Goals  []goalText    `yaml:"goals" need:"y" schema:"{\"minItems\": 1}"`
	For    yamlfile.Span `yaml:"for" doc:"Default 30s."`
	Within yamlfile.Span `yaml:"within" doc:"Default 5m."`
}

type goalText struct {
	Subject string        `yaml:"subject" need:"y" schema:"{\"enum\": [\"users\", \"api\", \"dns\", \"https\", \"policy\"]}"`
	Served  number        `yaml:"served" need:"y" doc:"Share of the requests that must be answered."`
	P99     yamlfile.Span `yaml:"p99"`
}

// JSONSchema of short cuts.
func (Action) JSONSchema() yamlfile.Node {
	var names []any
	for _, a := range Actions() {
		names = append(names, string(a))
	}
	return yamlfile.Node{"type": "string", "enum": names}
}

// entityText is an entity; entityPattern may stand for several.
type (
	entityText    struct{ causal.Entity }
	entityPattern struct{ causal.Entity }
)

func (e *entityText) UnmarshalYAML(n *yaml.Node) (err error) {
	if e.Entity, err = causal.ParseEntity(n.Value); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

func (e *entityPattern) UnmarshalYAML(n *yaml.Node) (err error) {
	if e.Entity, err = causal.ParsePattern(n.Value); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// JSONSchema is how an entity is written.
func (entityText) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"type": "string", "pattern": "^[a-zA-Z-]+/[^/]+(/[^/]+)?$", "examples": []any{"deployment/shop/cart", "node/worker-1"}}
}

// JSONSchema is how a pattern of entities is written.
func (entityPattern) JSONSchema() yamlfile.Node { return entityText{}.JSONSchema() }

// anything is a value of any shape.
type anything struct{ v any }

func (a *anything) UnmarshalYAML(n *yaml.Node) error { return n.Decode(&a.v) }

// JSONSchema of anything.
func (anything) JSONSchema() yamlfile.Node { return yamlfile.Node{} }

// number is a number, or a percentage: 5% is 0.05.
type number float64

func (v *number) UnmarshalYAML(n *yaml.Node) error {
	text, percent := strings.CutSuffix(n.Value, "%")
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f || f-f != 0 {
		return fmt.Errorf("line %d: %q is not a number or a percentage such as 5%%", n.Line, n.Value)
	}
	if percent {
		f /= 100
	}
	*v = number(f)
	return nil
}

// JSONSchema is how a number is written.
func (number) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"type": []any{"string", "number"}, "pattern": `^-?[0-9]+(\.[0-9]+)?%?$`, "examples": []any{0.5, "5%"}}
}

// expression is a regular expression that is looked for anywhere in a text.
type expression struct{ *regexp.Regexp }

func (p *expression) UnmarshalYAML(n *yaml.Node) error {
	re, err := regexp.Compile(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	p.Regexp = re
	return nil
}

// JSONSchema of a regular expression.
func (expression) JSONSchema() yamlfile.Node { return yamlfile.Node{"type": "string"} }
