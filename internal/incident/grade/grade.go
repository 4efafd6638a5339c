package grade

import (
	"fmt"
	"slices"
	"strings"

	"zdl/internal/incident/causal"
	"zdl/internal/incident/diagnosis"
	"zdl/internal/incident/evidence"
)

// Outcome of a diagnosis.
type Outcome string

const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	// Void runs prove nothing about whoever played them.
	Void Outcome = "void"
)

// Reason is why a diagnosis did not pass: the first of these that holds.
type Reason string

const (
	Right       Reason = ""
	VoidRun     Reason = "void"
	FalseAlarm  Reason = "false-alarm"  // the cluster is healthy
	Missed      Reason = "missed"       // it is not, and was called healthy
	DecoyTaken  Reason = "decoy"        // what looks like the cause
	WrongRoot   Reason = "wrong-root"   // not all roots were found
	ExtraRoot   Reason = "extra-root"   // the roots, and others that are none
	WrongChain  Reason = "wrong-chain"  // a link that is none
	MissingLink Reason = "missing-link" // a link was left out
	NoEvidence  Reason = "evidence"     // a node without evidence that supports it
)

// Grade is what became of a diagnosis.
type Grade struct {
	Outcome Outcome `json:"outcome"`
	Reason  Reason  `json:"reason,omitempty"`
	Why     string  `json:"why"`
	// Score is 0 to 1, from the three parts by their weights.
	Score    float64       `json:"score"`
	Root     RootGrade     `json:"root"`
	Chain    ChainGrade    `json:"chain"`
	Evidence EvidenceGrade `json:"evidence"`
	Decoys   []DecoyGrade  `json:"decoys"`
	// Unknown are nodes of the diagnosis that are none of the truth and no decoys.
	Unknown []string `json:"unknown"`
	// Breakdown tells what really happened, link by link, from what was felt to
	// the root.
	Breakdown []Link `json:"breakdown"`
}

// RootGrade compares the roots. Without full recall it is worth nothing: who mends
// a part of the cause has the incident again tomorrow.
type RootGrade struct {
	Recall    float64  `json:"recall"`
	Precision float64  `json:"precision"`
	Score     float64  `json:"score"`
	Found     []string `json:"found"`
	Missing   []string `json:"missing"`
	Wrong     []string `json:"wrong"` // entity and state, as they were named
}

// EvidenceGrade says which nodes have evidence that supports them.
type EvidenceGrade struct {
	Score     float64              `json:"score"`
	Supported []string             `json:"supported"`
	Lacking   []string             `json:"lacking"`
	Checks    map[string][]Checked `json:"checks"` // by id of the diagnosis' nodes
}

// Checked is a piece of evidence that was run again.
type Checked struct {
	Text string `json:"text"`
	evidence.Check
}

// DecoyGrade is a decoy that was taken.
type DecoyGrade struct {
	Decoy string `json:"decoy"`
	Named string `json:"named"`
	Why   string `json:"why"` // it cannot explain the symptom
}

// Weights of the parts of a score.
const (
	weightRoot     = 0.4
	weightChain    = 0.35
	weightEvidence = 0.25
)

// matched is a diagnosis whose nodes are matched with the truth.
type matched struct {
	run   *Run
	d     *diagnosis.Diagnosis
	graph *causal.Graph     // without optional nodes that were left out
	node  map[string]string // id of the diagnosis → id of the graph, or ""
	named map[string]string // id of the diagnosis → what it says, in words
}

func match(r *Run, d *diagnosis.Diagnosis) *matched {
	m := &matched{run: r, d: d, node: map[string]string{}, named: map[string]string{}}
	there := map[string]bool{}
	for _, n := range d.Nodes {
		m.named[n.ID] = fmt.Sprintf("%s %s", n.Entity, n.State)
		if found := r.Scenario.Match(n.Entity, n.State); found != nil {
			m.node[n.ID] = found.ID
			there[found.ID] = true
		}
	}
	g := r.Scenario.Graph
	m.graph = &g
	for _, n := range g.Nodes {
		if n.Optional && !there[n.ID] {
			m.graph = m.graph.Without(n.ID)
		}
	}
	return m
}

// Diagnose grades a diagnosis of a run.
func Diagnose(r *Run, d *diagnosis.Diagnosis) Grade {
	out := Grade{Outcome: Fail, Decoys: []DecoyGrade{}, Unknown: []string{}, Breakdown: []Link{}}
	if r.Scenario.Healthy {
		return out.healthy(r, d)
	}
	v := Validate(r)
	if v.Void != "" {
		out.Outcome, out.Reason, out.Why = Void, VoidRun, "The run does not count: "+v.Void+"."
		return out
	}
	m := match(r, d)
	out.Root = m.roots()
	out.Chain = m.chain()
	out.Evidence = m.evidence()
	for _, n := range d.Nodes {
		if m.node[n.ID] != "" {
			continue
		}
		if decoy := r.Scenario.Decoy(n.Entity, n.State); decoy != nil {
			out.Decoys = append(out.Decoys, DecoyGrade{decoy.ID, m.named[n.ID], decoy.Why})
		} else {
			out.Unknown = append(out.Unknown, m.named[n.ID])
		}
	}
	out.Breakdown = m.breakdown(&v, &out)
	out.Score = weightRoot*out.Root.Score + weightChain*out.Chain.Score + weightEvidence*out.Evidence.Score
	out.decide(d)
	return out
}

// healthy grades where nothing is wrong.
func (out *Grade) healthy(r *Run, d *diagnosis.Diagnosis) Grade {
	if d.Healthy {
		out.Outcome, out.Score, out.Why = Pass, 1, "Nothing is wrong, and that is what you said."
		out.Root, out.Chain.Score, out.Evidence.Score = RootGrade{Recall: 1, Precision: 1, Score: 1}, 1, 1
		return *out
	}
	for _, n := range d.Nodes {
		if decoy := r.Scenario.Decoy(n.Entity, n.State); decoy != nil {
			out.Decoys = append(out.Decoys, DecoyGrade{decoy.ID, fmt.Sprintf("%s %s", n.Entity, n.State), decoy.Why})
		} else {
			out.Unknown = append(out.Unknown, fmt.Sprintf("%s %s", n.Entity, n.State))
		}
	}
	out.Reason, out.Why = FalseAlarm, "Nothing is wrong: users are served within objectives, and what you name does no harm."
	return *out
}

// decide gives the outcome and the first reason.
func (out *Grade) decide(d *diagnosis.Diagnosis) {
	links := func(l []Edge) string {
		var words []string
		for _, e := range l {
			words = append(words, e.From+" → "+e.To)
		}
		return strings.Join(words, ", ")
	}
	switch {
	case d.Healthy:
		out.Reason, out.Why = Missed, "You say that nothing is wrong, and users are hurt."
	case len(out.Decoys) > 0:
		out.Reason, out.Why = DecoyTaken, fmt.Sprintf("%s is not part of it. %s", out.Decoys[0].Named, out.Decoys[0].Why)
	case out.Root.Recall < 1:
		out.Reason, out.Why = WrongRoot, "The root cause is not, or not wholly, among what you call root."
	case out.Root.Precision < 1:
		out.Reason, out.Why = ExtraRoot, "The root cause is found, and so is what is none: "+strings.Join(out.Root.Wrong, ", ")+"."
	case len(out.Chain.Wrong) > 0 || len(out.Unknown) > 0 || len(out.Chain.Layers) > 0:
		out.Reason, out.Why = WrongChain, "The root cause is right, and the chain to what users feel is not: "
		switch {
		case len(out.Chain.Wrong) > 0:
			out.Why += links(out.Chain.Wrong) + " is no link of it."
		case len(out.Unknown) > 0:
			out.Why += strings.Join(out.Unknown, ", ") + " is not part of it."
		default:
			out.Why += strings.Join(out.Chain.Layers, ", ") + "."
		}
	case len(out.Chain.Missing) > 0:
		out.Reason, out.Why = MissingLink, fmt.Sprintf("The root cause is right, and %d of %d links are missing.", len(out.Chain.Missing), len(out.Chain.Missing)+len(out.Chain.Right))
	case len(out.Evidence.Lacking) > 0:
		out.Reason, out.Why = NoEvidence, "The chain is right, and no evidence that you gave supports "+strings.Join(out.Evidence.Lacking, ", ")+"."
	default:
		out.Outcome, out.Why = Pass, "Root cause, chain and evidence are right."
	}
}

func (m *matched) roots() RootGrade {
	g := RootGrade{Found: []string{}, Missing: []string{}, Wrong: []string{}}
	claimed := 0
	for _, n := range m.d.Nodes {
		if n.Layer != causal.Root {
			continue
		}
		node := m.graph.Node(m.node[n.ID])
		switch {
		case node == nil || node.Layer != causal.Root:
			g.Wrong = append(g.Wrong, m.named[n.ID])
			claimed++
		case !slices.Contains(g.Found, node.ID): // two words for one root are one
			g.Found = append(g.Found, node.ID)
			claimed++
		}
	}
	roots := m.graph.Of(causal.Root)
	for _, n := range roots {
		if !slices.Contains(g.Found, n.ID) {
			g.Missing = append(g.Missing, n.ID)
		}
	}
	slices.Sort(g.Found)
	g.Recall = float64(len(g.Found)) / float64(len(roots))
	if claimed > 0 {
		g.Precision = float64(len(g.Found)) / float64(claimed)
	}
	if len(g.Missing) == 0 {
		g.Score = g.Recall * g.Precision
	}
	return g
}

func (m *matched) evidence() EvidenceGrade {
	g := EvidenceGrade{Supported: []string{}, Lacking: []string{}, Checks: map[string][]Checked{}}
	supported := map[string]bool{}
	for _, n := range m.d.Nodes {
		var witnesses []evidence.Predicate
		if id := m.node[n.ID]; id != "" {
			witnesses = m.run.Scenario.Witnesses(id)
		}
		for i := range n.Evidence {
			c := evidence.Supports(&n.Evidence[i], witnesses, m.run.Observed, m.run.Before(), m.run.During())
			g.Checks[n.ID] = append(g.Checks[n.ID], Checked{n.Evidence[i].String(), c})
			if id := m.node[n.ID]; id != "" && c.Supports {
				supported[id] = true
			}
		}
	}
	for _, n := range m.graph.Nodes {
		if supported[n.ID] {
			g.Supported = append(g.Supported, n.ID)
		} else {
			g.Lacking = append(g.Lacking, n.ID)
		}
	}
	g.Score = float64(len(g.Supported)) / float64(len(m.graph.Nodes))
	return g
}
