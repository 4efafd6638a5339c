package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// debianImage is a container image whose own layer is made of packages of the
// host's release, unmodified, with what they depend on. What only their
// installation, their documentation or other languages need is left out; that
// nothing else is missing is proven by missingLibraries and by running the
// programs.
type debianImage struct {
	name     string   // of the image, and of the family that its packages make up
	recipe   string   // part of the key: raise it when settle changes
	packages []string // what is asked for
	without  []string // names of packages that are not unpacked; patterns of path.Match
	prune    []string // files that are removed; see prune
	// script and modules are what settle works with, where that is to be part of
	// the key.
	script  string
	modules []string
	// user and group that its program runs as.
	user, about, home string
	uid               int
	entrypoint        []string
	env               []string // NAME=value, beside PATH
	// settle does what maintainer scripts would have done, as far as it is needed,
	// without running them; and runs the programs.
	settle func(b *builder, d *debianImage, root string) error
	// versions are those that zdl version tells: name → pattern of the package that
	// has it. The image's own must be there.
	versions map[string]string
}

// debianImages are left out where there is no apt, or it fails.
var debianImages = []*debianImage{&postgresImage, &redisImage, &mariadbImage, &rabbitmqImage}

// What no image needs.
var (
	// installationPackages are what only an installation runs.
	installationPackages = []string{
		"*perl*", "locales*", "libc-l10n", "debconf*", "dpkg", "tar", "passwd", "adduser", "usrmerge", "ucf", "sensible-utils",
		"ssl-cert", "openssl", "init-system-helpers", "sysvinit-utils", "lsb-base", "libgdbm*", "libpam-modules*", "libsemanage*", "libsepol*",
	}
	machineFiles  = []string{"etc/cron*", "etc/init.d", "etc/logrotate.d", "etc/systemd"}
	documentation = []string{
		"lib/systemd", "usr/lib/systemd",
		"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/i18n",
		"usr/share/perl*", "usr/share/doc-base", "usr/share/applications", "usr/share/pixmaps", "usr/share/gcc*", "usr/share/gdb",
		"usr/share/bash-completion",
	}
	loaderTools = []string{"usr/sbin/ldconfig*", "sbin/ldconfig*", "usr/bin/localedef"}
)

// planDebian plans the images of Debian packages, or says why they cannot be had
// on this machine. Their versions are those that the distribution has when they
// are fetched; see the file packages beside each layer.
func (b *builder) planDebian() (plans []plan, reason string) {
	if !b.native() {
		return nil, "images are made for the architecture of the machine only"
	}
	if reason := noApt(); reason != "" {
		return nil, reason
	}
	for _, d := range debianImages {
		k := newKey("debian", d.recipe, b.o.Arch, release(), d.script)
		for _, part := range [][]string{d.packages, d.without, d.prune, d.modules} {
			k.add(strings.Join(part, " "))
		}
		build := func(b *builder, _ family, _, out string) ([]string, error) { return nil, d.build(b, out) }
		plans = append(plans, b.planned(family{name: d.name, debian: d, build: build}, "", k))
	}
	return plans, ""
}

// build makes the image's layer in out: layer, layer.json and packages, the list
// of what it is made of.
func (d *debianImage) build(b *builder, out string) error {
	if os.Geteuid() != 0 {
		return errors.New("packages are unpacked with their permissions, which needs root")
	}
	scratch := filepath.Join(b.tmp, "debian")
	defer os.RemoveAll(scratch)
	a := &apt{ctx: b.ctx, dir: scratch, arch: b.o.Arch}
	if err := a.prepare(); err != nil {
		return err
	}
	b.report(Event{Phase: "resolve"})
	resolve := func() ([]debianPackage, error) {
		all, err := a.resolve(d.packages...)
		return without(all, d.without), err
	}
	packages, err := resolve()
	if err != nil {
		return err
	}
	var bytes int64
	for _, p := range packages {
		bytes += p.size
	}
	b.report(Event{Phase: "download", Detail: fmt.Sprintf("%d Debian packages, %d MB", len(packages), bytes/1e6)})
	if packages, err = a.download(packages, resolve); err != nil {
		return err
	}
	b.report(Event{Phase: "unpack"})
	root := filepath.Join(scratch, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := a.unpack(packages, root); err != nil {
		return err
	}
	if err := d.finish(b, root); err != nil {
		return err
	}
	b.report(Event{Phase: "layers", Detail: d.name})
	entries, err := treeEntries(root)
	if err != nil {
		return err
	}
	layer, err := writeLayer(filepath.Join(out, "layer"), entries)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&list, "%s %s\n", p.name, p.version)
	}
	if err := os.WriteFile(filepath.Join(out, "packages"), []byte(list.String()), 0o644); err != nil {
		return err
	}
	return layer.describe(filepath.Join(out, "layer.json"))
}

// finish makes the unpacked packages a tree that works, and proves that nothing
// is missing.
func (d *debianImage) finish(b *builder, root string) error {
	if err := prune(root, d.prune); err != nil {
		return err
	}
	if err := linkUsr(root); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"etc/passwd": fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\n%s:x:%d:%d:%s:%s:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n", d.user, d.uid, d.uid, d.about, d.home),
		"etc/group":  fmt.Sprintf("root:x:0:\n%s:x:%d:\nnogroup:x:65534:\n", d.user, d.uid),
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	missing, err := missingLibraries(root)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("the image lacks the libraries %s", strings.Join(missing, ", "))
	}
	return d.settle(b, d, root)
}

// linkVersion makes link, in the tree at root, lead to the one directory that
// matches pattern: a place that does not name the version.
func linkVersion(root, pattern, link string) error {
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("the packages hold %d versions of /%s, want one", len(found), pattern)
	}
	target, err := filepath.Rel(root, found[0])
	if err != nil {
		return err
	}
	at := filepath.Join(root, link)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	return os.Symlink("/"+target, at)
}

// runLimit bounds one run of an image's program.
const runLimit = 3 * time.Minute

// runIn runs a program of the tree at root, with that as its root.
func runIn(b *builder, root string, env []string, argv ...string) error {
	ctx, cancel := context.WithTimeout(b.ctx, runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Path, cmd.Dir = argv[0], "/"
	cmd.Err = nil // it is looked for below root, not here
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the image's %s does not run: %w: %s", argv[0], err, tail(output, 2000))
	}
	return nil
}

// packageVersions reads which versions a layer holds of what the image is for.
func (d *debianImage) packageVersions(dir string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "packages"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		for what, pattern := range d.versions {
			if ok, _ := path.Match(pattern, name); ok {
				out[what] = version
			}
		}
	}
	for what := range d.versions {
		if out[what] == "" {
			return nil, fmt.Errorf("%s holds no %s: %v", dir, what, out)
		}
	}
	return out, nil
}

// image is the container image. Its programs need a shell, and people do.
func (d *debianImage) image(version string) image {
	return image{name: d.name, version: imageTag(version), layers: []string{"base", "toolbox", d.name},
		entrypoint: d.entrypoint, user: fmt.Sprintf("%d:%d", d.uid, d.uid), env: slices.Clone(d.env)}
}

// imageTag makes a Debian version a tag of an image: other characters than those
// that a tag may have become hyphens.
func imageTag(version string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '-'
	}, version)
}
