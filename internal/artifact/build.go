package artifact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Options of Build.
type Options struct {
	CacheDir  string // where everything goes; "" is DefaultCache()
	SourceDir string // root of the project's source tree
	Arch      string // "amd64" or "arm64"; "" is this machine's
	// Progress is told about every step, from one goroutine at a time.
	// It may be nil.
	Progress func(Event)
	Logger   *slog.Logger // what goes on in detail; nil is silent
}

// Event is a step of a build.
type Event struct {
	Step, Steps int    // which of how many, from 1
	Name        string // the family, or "images", "golden", "disk"
	Version     string // of the family, else ""
	Phase       string // "compile", "download", "layers", "import", "format", "wait", …
	Detail      string // what is being done just now
	Elapsed     time.Duration
	Done        bool // the step is finished
	Cached      bool // there was nothing to do
}

// builder is one run of Build.
type builder struct {
	ctx    context.Context
	o      Options
	log    *slog.Logger
	tmp    string // this run's scratch directory inside the cache
	goRoot string // version of the Go tools, part of every key

	step, steps int
	name        string
	version     string
	began       time.Time
}

// recipe is part of every key of a set: raise it when the way images, golden
// root or disk are made changes.
const recipe = "1"

// Build makes sure that the cache holds the set that the source tree
// describes, makes it current and returns it. What is already there is not
// built again: with nothing to do it takes a fraction of a second. An
// interrupted build leaves nothing but scratch files, which the next one
// removes. A missing tool is a *RequirementError, found before anything is
// compiled.
//
// For an architecture other than this machine's only the programs are built:
// images and disk need programs that run here.
func Build(ctx context.Context, o Options) (*Set, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.o.CacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("create the cache: %w", err)
	}
	release, err := lock(ctx, filepath.Join(b.o.CacheDir, "lock-"+b.o.Arch), func() {
		b.name, b.began = "cache", time.Now()
		b.report(Event{Phase: "wait", Detail: "another build is running"})
	})
	if err != nil {
		return nil, err
	}
	defer release()

	// Nobody else builds here, so all that is in it is left from a build that died.
	scratch := filepath.Join(b.o.CacheDir, "tmp-"+b.o.Arch)
	if err := os.RemoveAll(scratch); err != nil {
		return nil, fmt.Errorf("remove what an interrupted build left: %w", err)
	}
	b.tmp = scratch
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return nil, fmt.Errorf("create scratch directory: %w", err)
	}
	defer os.RemoveAll(scratch)
	return b.run()
}

func newBuilder(ctx context.Context, o Options) (*builder, error) {
	if o.CacheDir == "" {
		o.CacheDir = DefaultCache()
	}
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	if o.Arch != "amd64" && o.Arch != "arm64" {
		return nil, fmt.Errorf("architecture %q: must be amd64 or arm64", o.Arch)
	}
	var err error
	if o.CacheDir, err = filepath.Abs(o.CacheDir); err != nil {
		return nil, err
	}
	if o.SourceDir, err = filepath.Abs(o.SourceDir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.SourceDir, "upstream", "kubernetes", "go.mod")); err != nil {
		return nil, fmt.Errorf("%s is not the source tree of this project: %w", o.SourceDir, err)
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &builder{ctx: ctx, o: o, log: log}, nil
}

func (b *builder) native() bool { return b.o.Arch == runtime.GOARCH }

func (b *builder) run() (*Set, error) {
	version, err := exec.CommandContext(b.ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return nil, &RequirementError{Missing: []Requirement{{What: "the Go tool chain", For: "everything", Packages: []string{"golang-go"}}}}
	}
	b.goRoot = strings.TrimSpace(string(version))

	plans, err := b.plan()
	if err != nil {
		return nil, err
	}
	if err := b.checkRequirements(plans); err != nil {
		return nil, err
	}
	packaged, reason := b.planDebian()
	plans = append(plans, packaged...)
	without := map[string]string{}
	if reason != "" && b.native() {
		for _, d := range debianImages {
			without[d.name] = reason
		}
	}
	b.steps = len(plans) + 3
	versions := map[string]string{}
	built := plans[:0:0]
	for _, p := range plans {
		b.begin(p.name)
		b.version = p.version
		cached := p.ready()
		if !cached {
			err = b.compile(p)
		}
		switch {
		case err == nil:
		case p.debian != nil && b.ctx.Err() == nil:
			without[p.name] = err.Error()
			b.report(Event{Done: true, Detail: "left out: " + err.Error()})
			continue
		default:
			return nil, fmt.Errorf("build %s %s: %w", p.name, p.version, err)
		}
		if p.debian != nil {
			found, err := p.debian.packageVersions(p.dir)
			if err != nil {
				return nil, err
			}
			maps.Copy(versions, found)
			p.version = found[p.name]
			b.version = p.version
		} else {
			versions[p.name] = p.version
		}
		built = append(built, p)
		b.done(cached)
	}
	plans = built
	versions["pause"] = pauseVersion // its module's version is that of Kubernetes
	set, err := b.assemble(plans, versions, without)
	if err != nil {
		return nil, err
	}
	if err := b.makeCurrent(set); err != nil {
		return nil, err
	}
	if err := b.collect(plans, set); err != nil {
		return nil, fmt.Errorf("remove old generations: %w", err)
	}
	return set, nil
}

// plan is one family as it will be built: its version, its key and where the
// programs are or will be.
type plan struct {
	family
	version string
	dir     string // programs/NAME-ARCH-KEY
}

func (p plan) ready() bool {
	_, err := os.Stat(p.dir)
	return err == nil
}

// program is the path of a program of this family.
func (p plan) program(name string) string { return filepath.Join(p.dir, name) }

func (b *builder) plan() ([]plan, error) {
	var plans []plan
	for _, f := range families {
		source := f.dir(b.o.SourceDir)
		version, err := moduleVersion(source, f.module)
		if err != nil {
			return nil, fmt.Errorf("version of %s: %w", f.name, err)
		}
		k := newKey("program", b.goRoot, b.o.Arch, f.name, version, f.tags, f.linkFlags(version), strings.Join(f.packages, " "), strings.Join(f.links, " "))
		for _, o := range f.overlay {
			k.add(o.module + " " + o.path + " " + o.old + " " + o.new + o.text)
		}
		if f.build == nil {
			if err := k.addDir(source); err != nil {
				return nil, fmt.Errorf("hash of %s: %w", f.name, err)
			}
		}
		plans = append(plans, b.planned(f, version, k))
	}
	for _, name := range []string{"web", "shop"} {
		p, err := b.planOwn(name)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// planOwn is a program of this project's own module: the arena's target, or the
// services of the shop.
func (b *builder) planOwn(name string) (plan, error) {
	f := family{name: name, own: true, packages: []string{"./workload/" + name}, ldflags: "-X main.version={version}"}
	version := ownVersions[name]
	k := newKey("program", b.goRoot, b.o.Arch, f.name, f.linkFlags(version))
	if err := k.addPackage(b.o.SourceDir, "zdl", "workload/"+name); err != nil {
		return plan{}, fmt.Errorf("hash of workload/%s: %w", name, err)
	}
	return b.planned(f, version, k), nil
}

func (b *builder) planned(f family, version string, k *key) plan {
	name := f.name + "-" + b.o.Arch + "-" + k.String()
	return plan{family: f, version: version, dir: filepath.Join(b.o.CacheDir, "programs", name)}
}

// makeCurrent points current-ARCH at the set, in one step.
func (b *builder) makeCurrent(s *Set) error {
	link := currentLink(b.o.CacheDir, b.o.Arch)
	target, err := filepath.Rel(b.o.CacheDir, s.Dir)
	if err != nil {
		return err
	}
	if old, err := os.Readlink(link); err == nil && old == target {
		return nil
	}
	fresh := filepath.Join(b.tmp, "current")
	if err := os.Symlink(target, fresh); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make %s current: %w", s.Dir, err)
	}
	if err := os.Rename(fresh, link); err != nil {
		return fmt.Errorf("make %s current: %w", s.Dir, err)
	}
	return nil
}

func (b *builder) begin(name string) {
	b.step++
	b.name, b.version = name, ""
	b.began = time.Now()
}

func (b *builder) report(e Event) {
	e.Step, e.Steps, e.Name, e.Version, e.Elapsed = b.step, b.steps, b.name, b.version, time.Since(b.began)
	b.log.Debug("build", "name", e.Name, "phase", e.Phase, "detail", e.Detail, "elapsed", e.Elapsed)
	if b.o.Progress != nil {
		b.o.Progress(e)
	}
}

func (b *builder) done(cached bool) { b.report(Event{Done: true, Cached: cached}) }
