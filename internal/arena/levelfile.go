package arena

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/arena/defence"
	"zdl/internal/cluster"
	"zdl/internal/yamlfile"
)

// LevelKind is the kind that a level's file names.
const LevelKind = "Level"

// maxLevelFile bounds the size of a level's file and of its text, in bytes.
const maxLevelFile = 64 << 10

// words is a word, or a list of words.
type words []string

// UnmarshalYAML reads a word or a list.
func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*w = words{n.Value}
		return nil
	}
	return n.Decode((*[]string)(w))
}

// ReadLevel reads a level's file. An error names file, line and reason.
func ReadLevel(data []byte, file, text string) (*Level, error) {
	l := &Level{}
	if len(data) > maxLevelFile || len(text) > maxLevelFile {
		return nil, fmt.Errorf("%s: line 1: the file or its text has more than %d bytes", file, maxLevelFile)
	}
	if err := yamlfile.Decode(data, l); err != nil {
		return nil, withLine(yamlfile.Explain(file, err), file)
	}
	if err := yamlfile.CheckHead(l.APIVersion, l.Kind, LevelKind); err != nil {
		return nil, fmt.Errorf("%s: line 1: %w", file, err)
	}
	l.Text, l.File = strings.TrimSpace(text), file
	l.Lesson = strings.TrimSpace(l.Lesson)
	l.defaults()
	if p := l.check(); p != nil {
		return nil, fmt.Errorf("%s: line %d: %s", file, lineOf(data, p.path), p.text)
	}
	return l, nil
}

// withLine makes sure that a message names a line.
func withLine(err error, file string) error {
	if strings.Contains(err.Error(), "line ") {
		return err
	}
	return fmt.Errorf("%s: line 1: %s", file, strings.TrimPrefix(err.Error(), file+": "))
}

// problem is what is wrong with a level, and where in its file.
type problem struct {
	path []any // keys and indexes
	text string
}

func wrong(path []any, format string, args ...any) *problem {
	return &problem{path, fmt.Sprintf(format, args...)}
}

func spot(path ...any) []any { return path }

// lineOf is the line of what a path leads to, or as near to it as the file has.
func lineOf(data []byte, path []any) int {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return 1
	}
	n := doc.Content[0]
	line := n.Line
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			break
		}
		n, line = next, next.Line
	}
	return max(line, 1)
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

var levelName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// installs is what a level may have installed.
var installs = []string{SubjectDatabase}

var subjects = []string{SubjectService, SubjectAPI, SubjectDNS, SubjectDatabase}

var capabilities = []cluster.Capability{cluster.CapabilityAPI, cluster.CapabilityPower, cluster.CapabilityLink, cluster.CapabilityDisk, cluster.CapabilityExec}

// check tells what is wrong with a level whose file could be read; nil for nothing.
func (l *Level) check() *problem {
	switch {
	case !levelName.MatchString(l.Name):
		return wrong(spot("name"), "the name %q: want 1 to 40 lower-case letters, digits and hyphens", l.Name)
	case l.Number < 1 || l.Number > 999:
		return wrong(spot("number"), "the number %d: want 1 to 999", l.Number)
	case l.Title == "" || len(l.Title) > 60:
		return wrong(spot("title"), "the title: want 1 to 60 bytes")
	case l.Question == "" || len(l.Question) > 200:
		return wrong(spot("question"), "the question: want 1 to 200 bytes")
	case l.Lesson == "":
		return wrong(spot("lesson"), "the lesson is missing: what does one learn?")
	case !slices.Contains(subjects, l.Subject):
		return wrong(spot("subject"), "the subject %q: want one of %s", l.Subject, strings.Join(subjects, ", "))
	case l.Install != "" && !slices.Contains(installs, l.Install):
		return wrong(spot("install"), "%q cannot be installed: want %s", l.Install, strings.Join(installs, ", "))
	case len(l.Except) > 0 && !l.Catalogue:
		return wrong(spot("except"), "except has a meaning only with catalogue: true")
	}
	for i, c := range l.Needs {
		if !slices.Contains(capabilities, c) {
			return wrong(spot("needs", i), "%q is no capability: want %v", c, capabilities)
		}
	}
	for _, f := range []func() *problem{l.checkRules, l.checkWeapons, l.checkTargets, l.checkWin} {
		if p := f(); p != nil {
			return p
		}
	}
	if err := defence.Check(l.Defences); err != nil {
		return wrong(spot("defences"), "%v", err)
	}
	return nil
}

func (l *Level) checkRules() *problem {
	r := &l.Rules
	for _, c := range []struct {
		name     string
		v        float64
		min, max float64
	}{
		{"damage", r.Damage, 1, 1000}, {"hitsPerSecond", r.HitsPerSecond, 0.1, 50}, {"burst", r.Burst, 1, 100},
		{"all", r.All, 1, 1000}, {"simultaneous", float64(r.Simultaneous), 0, 100},
	} {
		if !(c.v >= c.min && c.v <= c.max) { // NaN is neither
			return wrong(spot("rules", c.name), "%s is %g: want %g to %g", c.name, c.v, c.min, c.max)
		}
	}
	for _, c := range []struct {
		name     string
		v        yamlfile.Span
		min, max time.Duration
	}{
		{"giveUp", l.GiveUp, 10 * time.Second, 30 * time.Minute}, {"idle", l.Idle, 5 * time.Second, 30 * time.Minute},
		{"recoverAfter", l.RecoverAfter, time.Second, 2 * time.Minute},
	} {
		if v := time.Duration(c.v); v < c.min || v > c.max {
			return wrong(spot(c.name), "%s is %v: want %v to %v", c.name, v, c.min, c.max)
		}
	}
	return nil
}

// longestFault bounds how long a fault of a weapon lasts: longer than a round it
// would only outlive it.
const longestFault = 10 * time.Minute

func (l *Level) checkWeapons() *problem {
	if len(l.Weapons) == 0 && !l.Catalogue {
		return wrong(spot("weapons"), "the level has no weapons")
	}
	if len(l.Weapons) > 40 {
		return wrong(spot("weapons", 40), "more than 40 weapons")
	}
	names, keys := map[string]bool{}, map[string]bool{}
	for i := range l.Weapons {
		w := &l.Weapons[i]
		here := func(field string) []any { return spot("weapons", i, field) }
		switch {
		case !levelName.MatchString(w.Name):
			return wrong(here("name"), "the weapon's name %q: want lower-case letters, digits and hyphens", w.Name)
		case names[w.Name]:
			return wrong(here("name"), "two weapons are called %q", w.Name)
		case len([]rune(w.Key)) > 1 || strings.ContainsAny(w.Key, " h?H"):
			return wrong(here("key"), "the key %q: want one character that is not space, h or ?, which the page uses itself", w.Key)
		case w.Key != "" && keys[w.Key]:
			return wrong(here("key"), "two weapons have the key %q", w.Key)
		case w.Fault == "":
			return wrong(here("fault"), "the weapon %s names no fault: zdl faults lists them", w.Name)
		case time.Duration(w.For) > longestFault:
			return wrong(here("for"), "the fault of %s lasts %v: want at most %v", w.Name, time.Duration(w.For), longestFault)
		case !(w.Damage >= 1 && w.Damage <= 1000):
			return wrong(here("damage"), "the damage of %s is %g: want 1 to 1000", w.Name, w.Damage)
		}
		names[w.Name], keys[w.Key] = true, true
	}
	return nil
}

func (l *Level) checkTargets() *problem {
	if len(l.Targets) == 0 || len(l.Targets) > 20 {
		return wrong(spot("targets"), "the level has %d groups of targets: want 1 to 20", len(l.Targets))
	}
	for i := range l.Targets {
		g := &l.Targets[i]
		here := func(field ...any) []any { return append(spot("targets", i), field...) }
		if p := g.checkSelect(here); p != nil {
			return p
		}
		switch {
		case !(g.Health >= 1 && g.Health <= 10000):
			return wrong(here("health"), "the health is %g: want 1 to 10000", g.Health)
		case !(g.Fresh >= 1 && g.Fresh <= g.Health):
			return wrong(here("fresh"), "the fresh health is %g: want 1 to the full health, %g", g.Fresh, g.Health)
		case !(g.HealPerSecond >= 0 && g.HealPerSecond <= 1000):
			return wrong(here("healPerSecond"), "it heals %g a second: want 0 to 1000", g.HealPerSecond)
		case g.AtLeast < 1 || g.AtLeast > 100:
			return wrong(here("atLeast"), "atLeast is %d: want 1 to 100", g.AtLeast)
		case len(g.Weapons) == 0 && !l.Catalogue:
			return wrong(here("weapons"), "these targets have no weapons")
		}
		for j, name := range g.Weapons {
			if l.weapon(name) == nil {
				return wrong(here("weapons", j), "there is no weapon %q in this level", name)
			}
		}
	}
	return nil
}

func (g *TargetGroup) checkSelect(here func(...any) []any) *problem {
	s := &g.Select
	kinds := []string{KindPod, KindNode, KindZone, KindMachine, KindComponent, KindLab}
	only := func(kind, field string, is bool) *problem {
		if is && g.Kind != kind {
			return wrong(here("select", field), "select.%s has a meaning for targets of kind %s, not %s", field, kind, g.Kind)
		}
		return nil
	}
	for _, p := range []*problem{
		only(KindPod, "of", s.Of != ""), only(KindPod, "namespace", s.Namespace != ""), only(KindPod, "app", len(s.App) > 0),
		only(KindNode, "role", s.Role != ""), only(KindMachine, "machine", s.Machine != ""), only(KindComponent, "component", len(s.Component) > 0),
	} {
		if p != nil && slices.Contains(kinds, g.Kind) {
			return p
		}
	}
	switch {
	case !slices.Contains(kinds, g.Kind):
		return wrong(here("kind"), "%q is no kind of target: want one of %s", g.Kind, strings.Join(kinds, ", "))
	case s.Of != "" && s.Of != SubjectService:
		return wrong(here("select", "of"), "select.of is %q: want service", s.Of)
	case s.Role != "" && s.Role != "worker" && s.Role != "control-plane":
		return wrong(here("select", "role"), "select.role is %q: want worker or control-plane", s.Role)
	case s.Machine != "" && s.Machine != "edge" && s.Machine != "router":
		return wrong(here("select", "machine"), "select.machine is %q: want edge or router", s.Machine)
	case g.Kind == KindPod && s.Of == "" && s.Namespace == "":
		return wrong(here("select"), "pods of which namespace? want select: {of: service} or select: {namespace: …}")
	case g.Kind == KindComponent && len(s.Component) == 0:
		return wrong(here("select"), "which components? want select: {component: [etcd, …]}")
	}
	return nil
}

func (l *Level) checkWin() *problem {
	if len(l.Win) == 0 || len(l.Win) > 4 {
		return wrong(spot("win"), "the level has %d ways to win: want 1 to 4", len(l.Win))
	}
	for i, w := range l.Win {
		switch {
		case !slices.Contains(subjects, w.Subject):
			return wrong(spot("win", i, "subject"), "the subject %q: want one of %s", w.Subject, strings.Join(subjects, ", "))
		case w.Outage < yamlfile.Span(50*time.Millisecond) || w.Outage > l.RecoverAfter:
			return wrong(spot("win", i, "outage"), "an outage of %v: want 50ms to recoverAfter, %v", time.Duration(w.Outage), time.Duration(l.RecoverAfter))
		case slices.ContainsFunc(l.Win[:i], func(o WinFile) bool { return o.Subject == w.Subject }):
			return wrong(spot("win", i), "two ways to win by an outage of the %s", w.Subject)
		}
	}
	return nil
}

// ReadLevels reads every *.yaml of a directory, each with the .md beside it. What
// is wrong with one file is told in refused and keeps no other from being read.
func ReadLevels(dir fs.FS) (levels []*Level, refused []error) {
	entries, err := fs.ReadDir(dir, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, []error{err}
	}
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".yaml" {
			continue
		}
		data, err := readBounded(dir, e.Name())
		if err != nil {
			refused = append(refused, err)
			continue
		}
		text, err := readBounded(dir, strings.TrimSuffix(e.Name(), ".yaml")+".md")
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: line 1: its text: %w", e.Name(), err))
			continue
		}
		l, err := ReadLevel(data, e.Name(), string(text))
		if err == nil {
			err = twice(l, levels)
		}
		if err != nil {
			refused = append(refused, err)
			continue
		}
		levels = append(levels, l)
	}
	return levels, refused
}

func twice(l *Level, others []*Level) error {
	for _, o := range others {
		if o.Name == l.Name {
			return fmt.Errorf("%s: line 1: %s has a level of the name %q, too", l.File, o.File, l.Name)
		}
	}
	return nil
}

// readBounded reads a file that people wrote, and not more than is allowed.
func readBounded(dir fs.FS, name string) ([]byte, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxLevelFile+1))
}
