package incident

import (
	"time"

	"zdl/internal/incident/evidence"
	"zdl/internal/yamlfile"
)

// predicateText is a predicate as it is written: what is looked at, and what it
// must be.
//
//	{query: 'rate(x[1m])', above: 1, for: 10s}
//	{object: deployment/shop/cart, field: /spec/replicas, below: 2}
//	{event: {reason: Evicted, about: pod/shop/cart-*, count: 2}}
//	{probe: users, of: failed, above: 5%}
type predicateText struct {
	Query       string           `yaml:"query" doc:"PromQL."`
	Etcd        *etcdText        `yaml:"etcd" doc:"A metric of an etcd member."`
	Object      entityPattern    `yaml:"object" doc:"An object of Kubernetes, or a pattern."`
	Field       string           `yaml:"field" doc:"A JSON pointer into the object; without it, the object itself."`
	Event       *eventText       `yaml:"event" doc:"Events of Kubernetes."`
	Entry       *entryText       `yaml:"entry" doc:"Entries of the timeline."`
	Log         *logText         `yaml:"log" doc:"Lines of a log, or of a kernel's."`
	Certificate *certificateText `yaml:"certificate" doc:"The certificate in a Secret."`
	Probe       string           `yaml:"probe" schema:"{\"enum\": [\"users\", \"api\", \"dns\", \"https\", \"policy\"]}"`
	Of          string           `yaml:"of" doc:"Of a probe." schema:"{\"enum\": [\"failed\", \"p99\"]}"`
	All         predicateTexts   `yaml:"all"`
	Any         predicateTexts   `yaml:"any"`
	Above       *number          `yaml:"above"`
	Below       *number          `yaml:"below"`
	Equals      *string          `yaml:"equals" schema:"{\"type\": [\"string\", \"number\", \"boolean\"]}"`
	Differ      *string          `yaml:"differs" schema:"{\"type\": [\"string\", \"number\", \"boolean\"]}"`
	Match       *expression      `yaml:"matches"`
	Absent      bool             `yaml:"absent"`
	Exists      bool             `yaml:"present"`
	For         yamlfile.Span    `yaml:"for" doc:"How long without a break; of query, etcd and probe."`
}

// predicateTexts stands for a list of them; its schema ends there, since it would
// have no end.
type predicateTexts []predicateText

// JSONSchema of the parts of all and any.
func (predicateTexts) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"type": "array", "minItems": 1, "items": yamlfile.Node{"type": "object"}}
}

type etcdText struct {
	Member string `yaml:"member" need:"y" doc:"The node it is on."`
	Metric string `yaml:"metric" need:"y"`
}

type eventText struct {
	Reason string        `yaml:"reason" need:"y"`
	About  entityPattern `yaml:"about" need:"y"`
	Text   *expression   `yaml:"text"`
	Count  int           `yaml:"count" schema:"{\"minimum\": 0}"`
}

type entryText struct {
	Kind    string      `yaml:"kind" need:"y"`
	Subject *expression `yaml:"subject"`
	Text    *expression `yaml:"text"`
	Count   int         `yaml:"count" schema:"{\"minimum\": 0}"`
}

type logText struct {
	Of    string      `yaml:"of" need:"y" doc:"An entity or a pattern, kernel/NODE, kubelet/NODE, containerd/NODE, or audit."`
	Line  *expression `yaml:"line" need:"y"`
	Count int         `yaml:"count" schema:"{\"minimum\": 0}"`
}

// predicate gives what the text says; evidence.Predicate.Check finds what is wrong
// with it.
func (t *predicateText) predicate() evidence.Predicate {
	bound := evidence.Bound{Above: (*float64)(t.Above), Below: (*float64)(t.Below), Equals: t.Equals, Differs: t.Differ, Absent: t.Absent, Present: t.Exists}
	if t.Match != nil {
		bound.Matches = t.Match.Regexp
	}
	var p evidence.Predicate
	long := time.Duration(t.For)
	if t.Query != "" {
		p.Query = &evidence.Query{Text: t.Query, Bound: bound, For: long}
	}
	if t.Etcd != nil {
		p.Metric = &evidence.Metric{Member: t.Etcd.Member, Name: t.Etcd.Metric, Bound: bound, For: long}
	}
	if t.Object.Entity != "" || t.Field != "" {
		p.Field = &evidence.Field{Object: t.Object.Entity, Pointer: t.Field, Bound: bound}
	}
	if e := t.Event; e != nil {
		p.Event = &evidence.EventLike{Reason: e.Reason, About: e.About.Entity, Count: e.Count}
		if e.Text != nil {
			p.Event.Text = e.Text.Regexp
		}
	}
	if e := t.Entry; e != nil {
		p.Entry = &evidence.EntryLike{Kind: e.Kind, Count: e.Count}
		if e.Subject != nil {
			p.Entry.Subject = e.Subject.Regexp
		}
		if e.Text != nil {
			p.Entry.Text = e.Text.Regexp
		}
	}
	if l := t.Log; l != nil {
		p.Line = &evidence.LineLike{Of: l.Of, Count: l.Count}
		if l.Line != nil {
			p.Line.Text = l.Line.Regexp
		}
	}
	if t.Probe != "" || t.Of != "" {
		p.Probe = &evidence.Probe{Subject: t.Probe, Of: t.Of, Bound: bound, For: long}
	}
	if c := t.Certificate; c != nil {
		p.Certificate = &evidence.Certificate{Secret: c.Secret.Entity, Wrong: c.Wrong, Host: c.Host, Issuer: c.Issuer}
	}
	for i := range t.All {
		p.All = append(p.All, t.All[i].predicate())
	}
	for i := range t.Any {
		p.Any = append(p.Any, t.Any[i].predicate())
	}
	return p
}

type certificateText struct {
	Secret entityText `yaml:"secret" need:"y"`
	Wrong  string     `yaml:"wrong" need:"y" schema:"{\"enum\": [\"expired\", \"wrong-host\", \"unknown-authority\"]}"`
	Host   string     `yaml:"host"`
	Issuer string     `yaml:"issuer" doc:"The common name of who is to have signed it."`
}
