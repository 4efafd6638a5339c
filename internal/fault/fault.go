// Package fault breaks things on purpose and puts them right again: a catalogue
// of kinds of faults, a journal that knows how to undo each before it begins,
// and an engine that injects, verifies and undoes.
//
// This package knows no Kubernetes and no kernel. What a fault does to the world
// is made of steps (package step), which the catalogue (package catalogue)
// plans. So everything that decides is here, and can be tested without a lab.
package fault

import (
	"context"
	"time"

	"zdl/internal/cluster"
)

// Layer is where in a highly available system a fault strikes.
type Layer string

// The layers, from the outside in and then beside it.
const (
	LayerPod          Layer = "pod"
	LayerNode         Layer = "node"
	LayerNetwork      Layer = "network"
	LayerZone         Layer = "zone"
	LayerEdge         Layer = "edge"
	LayerNameService  Layer = "name-service"
	LayerControlPlane Layer = "control-plane"
	LayerEtcd         Layer = "etcd"
	LayerDatabase     Layer = "database"
	LayerObject       Layer = "object" // cluster objects
	LayerCompound     Layer = "compound"
)

// Layers lists them in the order in which they are shown.
func Layers() []Layer {
	return []Layer{LayerPod, LayerNode, LayerNetwork, LayerZone, LayerEdge, LayerNameService, LayerControlPlane, LayerEtcd, LayerDatabase, LayerObject, LayerCompound}
}

// Kind is one kind of fault in the catalogue. It describes itself: what it
// strikes, what can be set, what it needs and what will be seen.
type Kind struct {
	Name    string `json:"name"` // the field's standard term: pod-kill, network-delay, …
	Layer   Layer  `json:"layer"`
	Summary string `json:"summary"` // one sentence: what it does, by which mechanism
	Effect  string `json:"effect"`  // one sentence: what can be observed
	// Targets names what can be struck: pod, node, machine, zone, load-balancer, …
	// It is "" for kinds that choose by themselves, such as the etcd leader's.
	Targets string `json:"targets,omitempty"`
	// TargetHelp shows what a target looks like: "NAME, NAMESPACE/NAME, any, …".
	TargetHelp string `json:"targetHelp,omitempty"`
	// DefaultTarget is struck when none is named; "": a target must be named.
	DefaultTarget string  `json:"defaultTarget,omitempty"`
	Params        []Param `json:"params"`
	// Needs lists what the cluster's provider must be able to do.
	Needs []cluster.Capability `json:"needs"`
	// Instant faults are over once they happened: what they struck is mended by
	// the cluster itself, nothing is left to undo, and --for has no meaning.
	Instant bool `json:"instant"`
	// Unavailable says why the kind cannot be used on this machine or cluster;
	// "" when it can.
	Unavailable string `json:"unavailable,omitempty"`

	// Find lists what selector stands for, in a stable order. An error says what
	// a selector may look like.
	Find func(ctx context.Context, selector string) ([]Target, error) `json:"-"`
	// Plan decides what will be done to the chosen targets. It may look at the
	// world; it must not touch it.
	Plan func(ctx context.Context, in Input) (Plan, error) `json:"-"`
}

// Target is exactly one thing that is struck.
type Target struct {
	Type string `json:"type"` // pod, node, …, as in Kind.Targets
	Name string `json:"name"` // of a pod: namespace/name
	UID  string `json:"uid,omitempty"`
	Node string `json:"node,omitempty"` // the machine it is on
	Zone string `json:"zone,omitempty"`
}

func (t Target) String() string { return t.Name }

// Input is what a plan is made from.
type Input struct {
	Targets []Target
	Values  Values        // of every parameter of the kind, checked, with defaults
	For     time.Duration // 0: until it is healed
	Seed    uint64        // of every choice by chance
	// Force: guards of the plan's own do not apply.
	Force bool
	// ID of the attack to be, for names of what a plan must be able to find again.
	ID string
}

// Plan is what will be done, in order. Stages follow each other; the steps of
// one stage are done at the same time. Undo goes through them backwards.
type Plan struct {
	Stages []Stage
	// Patience bounds how long a verification may be tried; at least 10 s.
	Patience time.Duration
}

// Stage is a group of steps that are done together.
type Stage struct {
	After time.Duration // pause before it
	Steps []Step
	// Prove it, and what was before it, before the next one is begun. Without it
	// all stages are made first and proven then.
	Prove bool
}

// Together is a plan of a single stage.
func Together(steps ...Step) Plan { return Plan{Stages: []Stage{{Steps: steps}}} }

// Step is one reversible change of the world. It is data: a struct whose
// exported fields, as JSON, hold everything that Undo needs. It is written to
// the journal before Inject is called, so it must know before it begins what
// Undo has to put back, and Undo must not rely on anything that Inject learns.
//
// All methods are safe to call again, in another process, after a crash at any
// point of a call before.
type Step interface {
	// Mechanism names the type of step, as known to Mechanics.
	Mechanism() string
	// Touches names what the step changes, "power/worker-1" or
	// "file/cp-1/etc/kubernetes/pki/apiserver.crt". Two active attacks may not
	// touch the same.
	Touches() []string
	// Inject makes the change, or completes it where it was begun or partly lost
	// since (its process ended with a daemon that was killed).
	Inject(ctx context.Context) error
	// Verify proves at the target that the change took effect, and says by what:
	// "process 4711 is gone", "RTT 0.3 ms before, 50.2 ms now". It is called
	// again until it succeeds or patience ends.
	Verify(ctx context.Context) (evidence string, err error)
	// Undo takes the change back, whether Inject happened wholly, partly or
	// never. It must work without the API server and etcd, unless the change was
	// one of Kubernetes' objects.
	Undo(ctx context.Context) error
	// State describes what the step may change, as it is now, by name. It is
	// taken before and compared after: the difference is the residue.
	State(ctx context.Context) (map[string]string, error)
}

// Mechanics makes an empty step of a mechanism, into which its JSON is read.
// An unknown mechanism gives nil.
type Mechanics func(mechanism string) Step
