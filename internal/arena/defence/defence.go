// Package defence changes the live cluster in ways that would have protected the
// service: more replicas, an ingress in every zone, faster leases. A defence is
// named, comes from a level's file, and is real: it counts as applied only when
// the change is there and its condition was observed.
//
// Everything that is changed is written down and synced to disk before it is
// changed. Taking a defence back restores exactly these places, also in a later
// life of the daemon: what a crash left half applied is taken back.
package defence

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"zdl/internal/yamlfile"
)

// Defence is a named change of the cluster, as a level's file writes it.
type Defence struct {
	// Name is of lower-case letters, digits and hyphens. Defences of several
	// levels that have the same name are the same and must be equal.
	Name  string `yaml:"name"`
	Title string `yaml:"title"` // one line, what is done
	// Why is Markdown: from what it protects, what it costs, and what protects
	// already.
	Why  string `yaml:"why"`
	Docs string `yaml:"docs,omitempty"` // docs/FILE.md, or docs/FILE.md#HEADING
	// Unavailable says why this is not applied to a running lab and what to do
	// instead. Such a defence is only told about and has no patches.
	Unavailable string `yaml:"unavailable,omitempty"`
	// Needs is what the lab must be for it to make sense.
	Needs Needs `yaml:"needs,omitempty"`
	// Within bounds each settling, 5 s to 10 min; default 3 min.
	Within  yamlfile.Span `yaml:"within,omitempty"`
	Patches []Patch       `yaml:"patches,omitempty"`
}

// Needs are conditions on the lab; what is zero is not asked for.
type Needs struct {
	Workers       int    `yaml:"workers,omitempty"` // nodes that take any pod
	Zones         int    `yaml:"zones,omitempty"`   // that hold a worker
	ControlPlanes int    `yaml:"controlPlanes,omitempty"`
	Timing        string `yaml:"timing,omitempty"` // realistic or fast
}

// Facts is a lab in the words of Needs.
type Facts Needs

// Patch is the change of one object. Exactly one of Merge, Strategic, Flags and
// Document is set.
type Patch struct {
	Kind      string         `yaml:"kind"`
	Namespace string         `yaml:"namespace,omitempty"` // of a StaticPod always kube-system
	Name      string         `yaml:"name"`                // of a StaticPod the component: kube-scheduler
	Merge     map[string]any `yaml:"merge,omitempty"`     // JSON merge patch, RFC 7386
	Strategic map[string]any `yaml:"strategic,omitempty"` // strategic merge patch of Kubernetes
	// Flags are set on the command line of the first container, by their names
	// without dashes; those that are there are replaced. Of a StaticPod this is
	// done to the manifest of every control plane, one after the other.
	Flags    map[string]string `yaml:"flags,omitempty"`
	Document *Document         `yaml:"document,omitempty"`
	// Settled is what must be observed before the change counts.
	Settled Condition `yaml:"settled"`
	// Spread and Shown are asked for beside it.
	Spread *Spread `yaml:"spread,omitempty"`
	Shown  *Shown  `yaml:"shown,omitempty"`
}

// Condition is what must hold after a change.
type Condition string

const (
	// Rollout: every replica that is asked for is of the new revision and
	// available, none of an old one is left; of a StaticPod: the pods run with
	// the new command line and are Ready.
	Rollout Condition = "rollout"
	// Observed: the object's controller has seen this generation.
	Observed Condition = "observed"
	// Present: the API server gives the object back as it was changed.
	Present Condition = "present"
)

// Spread asks for ready pods of a workload in several failure domains.
type Spread struct {
	Over    string `yaml:"over" json:"over"`       // a node label: topology.kubernetes.io/zone, kubernetes.io/hostname
	AtLeast int    `yaml:"atLeast" json:"atLeast"` // domains with a ready pod, 1 to 9
}

const (
	defaultWithin = 3 * time.Minute
	minWithin     = 5 * time.Second
	maxWithin     = 10 * time.Minute
	maxPatches    = 8
)

func (d *Defence) within() time.Duration {
	if d.Within == 0 {
		return defaultWithin
	}
	return time.Duration(d.Within)
}

var (
	validName  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)
	validDocs  = regexp.MustCompile(`^docs/[-a-z0-9_/]+\.md(#[-a-z0-9]+)?$`)
	validFlag  = regexp.MustCompile(`^[a-z][-a-z0-9]*$`)
	validValue = regexp.MustCompile(`^[-+=:;,./%a-zA-Z0-9_^$()\[\]]*$`)
)

// Check tells what is wrong with the defences of a level's file.
func Check(all []Defence) error {
	seen := map[string]bool{}
	for i := range all {
		d := &all[i]
		if seen[d.Name] {
			return fmt.Errorf("two defences are named %q", d.Name)
		}
		seen[d.Name] = true
		if err := d.Check(); err != nil {
			return fmt.Errorf("defence %q: %w", d.Name, err)
		}
	}
	return nil
}

// Check tells what is wrong with a defence.
func (d *Defence) Check() error {
	within := d.within()
	switch {
	case !validName.MatchString(d.Name) || strings.Contains(d.Name, "."):
		return errors.New("a name is of lower-case letters, digits and hyphens, at most 63")
	case d.Title == "" || strings.Contains(d.Title, "\n"):
		return errors.New("title: want one line")
	case strings.TrimSpace(d.Why) == "":
		return errors.New("why: say from what it protects and what it costs")
	case d.Docs != "" && !validDocs.MatchString(d.Docs):
		return fmt.Errorf("docs %q: want docs/FILE.md or docs/FILE.md#heading", d.Docs)
	case d.Unavailable != "" && len(d.Patches) > 0:
		return errors.New("one that is unavailable has no patches")
	case d.Unavailable == "" && len(d.Patches) == 0:
		return errors.New("it changes nothing: give it patches, or say why it is unavailable")
	case len(d.Patches) > maxPatches:
		return fmt.Errorf("%d patches: at most %d", len(d.Patches), maxPatches)
	case within < minWithin || within > maxWithin:
		return fmt.Errorf("within %v: want %v to %v", within, minWithin, maxWithin)
	case !slices.Contains([]string{"", "realistic", "fast"}, d.Needs.Timing):
		return fmt.Errorf("needs timing %q: realistic or fast", d.Needs.Timing)
	case min(d.Needs.Workers, d.Needs.Zones, d.Needs.ControlPlanes) < 0:
		return errors.New("needs: no number is below 0")
	}
	seen := map[string]bool{}
	for i := range d.Patches {
		p := &d.Patches[i]
		if err := p.check(); err != nil {
			return fmt.Errorf("patch %d, %s: %w", i+1, p.ref(), err)
		}
		if seen[p.ref().String()] {
			return fmt.Errorf("patch %d: a second one of %s; make them one", i+1, p.ref())
		}
		seen[p.ref().String()] = true
	}
	return nil
}

func (p *Patch) check() error {
	k, known := kinds[p.Kind]
	ways := 0
	for _, set := range []bool{len(p.Merge) > 0, len(p.Strategic) > 0, len(p.Flags) > 0, p.Document != nil} {
		if set {
			ways++
		}
	}
	switch {
	case !known:
		return fmt.Errorf("kind %q: there are %s", p.Kind, strings.Join(kindNames(), ", "))
	case p.Kind == StaticPod && p.Namespace != "":
		return errors.New("a StaticPod names no namespace")
	case p.Kind != StaticPod && !validName.MatchString(p.Namespace):
		return errors.New("namespace is missing")
	case !validName.MatchString(p.Name):
		return errors.New("name is missing")
	case ways != 1:
		return errors.New("want exactly one of merge, strategic, flags and document")
	case p.Kind == StaticPod && len(p.Flags) == 0:
		return errors.New("of a StaticPod only flags are changed")
	case len(p.Flags) > 0 && !k.pods:
		return fmt.Errorf("a %s has no command line", p.Kind)
	case !slices.Contains(k.settles, p.Settled):
		return fmt.Errorf("settled %q: of a %s it is one of %v", p.Settled, p.Kind, k.settles)
	case p.Document != nil && (p.Document.Annotation == "" || len(p.Document.Merge) == 0):
		return errors.New("document: want annotation and merge")
	case p.Shown != nil && (p.Kind == StaticPod || p.Shown.Name == "" || p.Shown.Annotation == ""):
		return errors.New("shown: want name and annotation of an object beside this one")
	case p.Spread != nil && (!k.pods || p.Kind == StaticPod):
		return fmt.Errorf("spread: a %s has no pods to spread", p.Kind)
	case p.Spread != nil && (p.Spread.Over == "" || p.Spread.AtLeast < 1 || p.Spread.AtLeast > 9):
		return errors.New("spread: want over: NODE LABEL and atLeast: 1 to 9")
	}
	for name, value := range p.Flags {
		if !validFlag.MatchString(name) || !validValue.MatchString(value) {
			return fmt.Errorf("flag %s=%s: want a name without dashes in front, and a plain value", name, value)
		}
	}
	for _, change := range []map[string]any{p.Merge, p.Strategic} {
		if _, err := json.Marshal(change); err != nil {
			return errors.New("a patch is made of what JSON can say: keys are words")
		}
		for key, v := range change {
			if key != "spec" && key != "data" && key != "metadata" {
				return fmt.Errorf("%s: only spec, data and metadata.annotations are changed", key)
			}
			if key == "metadata" {
				inner, _ := v.(map[string]any)
				if len(inner) != 1 || inner["annotations"] == nil {
					return errors.New("metadata: only annotations are changed")
				}
			}
		}
	}
	return nil
}

func (p *Patch) ref() ref { return ref{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name} }

// lacks tells what the lab lacks for a defence, "" when nothing.
func (n Needs) lacks(have Facts) string {
	switch {
	case have.Workers < n.Workers:
		return fmt.Sprintf("it needs %d workers and this lab has %d: zdl up --profile ha makes another", n.Workers, have.Workers)
	case have.Zones < n.Zones:
		return fmt.Sprintf("it needs workers in %d zones and this lab has them in %d: zdl up --profile ha makes another", n.Zones, have.Zones)
	case have.ControlPlanes < n.ControlPlanes:
		return fmt.Sprintf("it needs %d control planes and this lab has %d: zdl up --profile ha makes another", n.ControlPlanes, have.ControlPlanes)
	case n.Timing != "" && have.Timing != n.Timing:
		return fmt.Sprintf("it is about labs with timing %s, and this one is %s", n.Timing, have.Timing)
	}
	return ""
}

// Error is a refusal: nothing was touched.
type Error struct{ Message, Hint string }

func (e *Error) Error() string { return e.Message }

func refuse(hint, format string, args ...any) *Error {
	return &Error{fmt.Sprintf(format, args...), hint}
}

// Status is a defence as everybody may see it.
type Status struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Why   string `json:"why"`
	Docs  string `json:"docs"`
	// Applied: the change is there and its condition was observed.
	Applied  bool `json:"applied"`
	Applying bool `json:"applying"` // or being taken back
	// Trouble says why it could not be applied or taken back, in a sentence.
	Trouble string `json:"trouble,omitempty"`
	// Unavailable says why it cannot be applied to this lab.
	Unavailable string `json:"unavailable,omitempty"`
	// Evidence is what was observed, a line per change.
	Evidence []string `json:"evidence,omitempty"`
	// Since it is applied.
	Since time.Time `json:"since,omitzero"`
}
