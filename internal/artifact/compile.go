package artifact

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// compile builds the programs of one family into the cache.
func (b *builder) compile(p plan) error {
	out := filepath.Join(b.tmp, p.name)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var programs []string
	var err error
	if p.build != nil {
		programs, err = p.build(b, p.family, p.version, out)
	} else {
		programs, err = b.goBuild(p, out)
	}
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := mustBeStatic(filepath.Join(out, program)); err != nil {
			return err
		}
	}
	for _, link := range p.links {
		if err := os.Symlink(programs[0], filepath.Join(out, link)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(p.dir), 0o755); err != nil {
		return err
	}
	return os.Rename(out, p.dir)
}

func (b *builder) goBuild(p plan, out string) (programs []string, err error) {
	args := []string{"build", "-v", "-trimpath", "-ldflags", p.linkFlags(p.version)}
	if p.tags != "" {
		args = append(args, "-tags", p.tags)
	}
	dir := p.family.dir(b.o.SourceDir)
	if len(p.overlay) > 0 {
		modfile, err := b.patch(dir, p.version, p.overlay)
		if err != nil {
			return nil, fmt.Errorf("overlay: %w", err)
		}
		args = append(args, "-modfile", modfile)
	}
	args = append(args, "-o", out+"/")
	args = append(args, p.packages...)
	if err := b.runGo(dir, b.goEnvironment(p.cgo), args); err != nil {
		return nil, err
	}
	for _, pkg := range p.packages {
		name := programName(p.name, pkg)
		if renamed := p.rename[name]; renamed != "" {
			if err := os.Rename(filepath.Join(out, name), filepath.Join(out, renamed)); err != nil {
				return nil, err
			}
			name = renamed
		}
		programs = append(programs, name)
	}
	return programs, nil
}

// patch copies the modules that overlays touch, puts the files into the copies
// and returns a go.mod that uses them. (go build -overlay refuses to replace
// files of the module cache.)
func (b *builder) patch(dir, version string, overlays []overlay) (modfile string, err error) {
	copies := map[string]string{}
	var edits []string
	for _, o := range overlays {
		if copies[o.module] == "" {
			original, err := b.moduleDir(dir, o.module)
			if err != nil {
				return "", err
			}
			copied := filepath.Join(b.tmp, "module", o.module)
			if err := os.CopyFS(copied, os.DirFS(original)); err != nil {
				return "", err
			}
			copies[o.module] = copied
			edits = append(edits, "-replace", o.module+"="+copied)
		}
		if err := o.apply(dir, version, filepath.Join(copies[o.module], o.path)); err != nil {
			return "", err
		}
	}
	modfile = filepath.Join(b.tmp, "module", "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(b.tmp, "module", name), 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(b.ctx, "go", append(append([]string{"mod", "edit"}, edits...), modfile)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return modfile, nil
}

// apply changes the file target; dir is the family's directory.
func (o overlay) apply(dir, version, target string) error {
	if o.text != "" {
		return os.WriteFile(target, []byte(strings.ReplaceAll(o.text, "{version}", version)), 0o644)
	}
	if o.file != "" {
		if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return copyFile(filepath.Join(dir, o.file), target, 0o644)
	}
	text, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), o.old); n != 1 {
		return fmt.Errorf("%s %s: the text to replace is there %d times", o.module, o.path, n)
	}
	if err := os.Remove(target); err != nil { // the copy is read-only like the original
		return err
	}
	return os.WriteFile(target, []byte(strings.Replace(string(text), o.old, o.new, 1)), 0o644)
}

// moduleDir is where the sources of a module are that go.mod in dir requires.
func (b *builder) moduleDir(dir, module string) (string, error) {
	for _, args := range [][]string{{"mod", "download", module}, {"list", "-m", "-f", "{{.Dir}}", module}} {
		cmd := exec.CommandContext(b.ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = b.goEnvironment(false)
		output, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(output, 2000))
		}
		if args[0] == "list" {
			return strings.TrimSpace(string(output)), nil
		}
	}
	return "", nil
}

// programName is what the Go command calls the program of a package: the last
// element of its import path that is not a major version.
func programName(family, pkg string) string {
	if pkg == "." {
		return family
	}
	name := path.Base(pkg)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(pkg))
	}
	return name
}

// goEnvironment is the caller's, without what would change the result.
func (b *builder) goEnvironment(cgo bool) []string {
	env := append(os.Environ(), "GOFLAGS=-buildvcs=false -mod=readonly", "GOWORK=off", "GOOS=linux", "GOARCH="+b.o.Arch, "CGO_ENABLED=0")
	if cgo {
		env = append(env, "CGO_ENABLED=1", "CC="+b.compiler())
		if !b.native() {
			env = append(env, "PKG_CONFIG_PATH="+filepath.Join("/usr/lib", gnuTriple[b.o.Arch], "pkgconfig"))
		}
	}
	return env
}

var gnuTriple = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// compiler is the C compiler for the architecture that is built for.
func (b *builder) compiler() string {
	if b.native() {
		return "gcc"
	}
	return gnuTriple[b.o.Arch] + "-gcc"
}

// runGo runs the Go command and reports each package that it compiles.
func (b *builder) runGo(dir string, env, args []string) error {
	cmd := exec.CommandContext(b.ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = env
	// The Go command removes its scratch files when it is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.report(Event{Phase: "compile"})
	var output bytes.Buffer
	compiled := 0
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if module, ok := strings.CutPrefix(line, "go: downloading "); ok {
			b.report(Event{Phase: "download", Detail: module})
			continue
		}
		if !strings.ContainsAny(line, " :#") { // -v prints one import path a line
			compiled++
			b.report(Event{Phase: "compile", Detail: fmt.Sprintf("%d packages, %s", compiled, line)})
			continue
		}
		fmt.Fprintln(&output, line)
	}
	if err := cmd.Wait(); err != nil {
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, tail(output.Bytes(), 4000))
	}
	return nil
}

// buildPause compiles the C program that holds a pod's namespaces, from the
// sources that come with the kubernetes module.
func buildPause(b *builder, f family, version, out string) ([]string, error) {
	b.report(Event{Phase: "compile"})
	module, err := b.moduleDir(f.dir(b.o.SourceDir), f.module)
	if err != nil {
		return nil, err
	}
	source := filepath.Join(module, "build", "pause", "linux", "pause.c")
	cmd := exec.CommandContext(b.ctx, b.compiler(), "-Os", "-Wall", "-static", "-s",
		"-DVERSION=v"+pauseVersion, "-o", filepath.Join(out, "pause"), source)
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(output, 2000))
	}
	return []string{"pause"}, nil
}

// mustBeStatic refuses a program that needs a dynamic loader: inside an image
// there is none.
func mustBeStatic(path string) error {
	file, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is dynamically linked", filepath.Base(path))
		}
	}
	return nil
}

// tail is the end of a command's output, where the reason is.
func tail(output []byte, limit int) string {
	output = bytes.TrimSpace(output)
	if len(output) > limit {
		output = append([]byte("… "), output[len(output)-limit:]...)
	}
	return string(output)
}
