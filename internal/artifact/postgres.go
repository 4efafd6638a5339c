package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/partial"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// postgresImage is the short name of the image with PostgreSQL and Patroni, and
// of the family that its packages make up.
const postgresImage = "postgres"

// What the image is made of: the packages of the host's release, unmodified,
// with what they depend on. Left out is what only their installation, their
// documentation or other languages need; that nothing else is missing is proven
// by missingLibraries and by running the programs.
var (
	postgresPackages = []string{"postgresql", "patroni"}
	postgresWithout  = []string{
		"postgresql", "postgresql-common*", "postgresql-client-common", // scripts around pg_ctl for many clusters on one machine
		"libllvm*", "libz3-*", // just-in-time compilation of queries
		"*perl*", "locales*", "libc-l10n", "debconf*", "dpkg", "tar", "passwd", "adduser", "usrmerge", "ucf", "sensible-utils",
		"ssl-cert", "openssl", "init-system-helpers", "sysvinit-utils", "lsb-base", "libgdbm*", "libpam-modules*", "libsemanage*", "libsepol*",
		"python3-etcd", "python3-dnspython", // Patroni's other stores for who leads
	}
	postgresPrune = []string{
		"etc/cron*", "etc/init.d", "etc/logrotate.d", "etc/systemd", "etc/patroni", "lib/systemd", "usr/lib/systemd",
		"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/i18n",
		"usr/share/perl*", "usr/share/doc-base", "usr/share/applications", "usr/share/pixmaps", "usr/share/gcc*", "usr/share/gdb",
		"usr/share/bash-completion", "usr/share/postgresql/*/man", "usr/share/patroni",
		"usr/lib/*/gconv", "usr/lib/*/perl*", "usr/lib/postgresql/*/lib/bitcode", "usr/lib/postgresql/*/lib/llvmjit*",
		"usr/lib/postgresql/*/bin/pgbench", "usr/lib/postgresql/*/lib/pgxs",
		"usr/lib/python3*/test", "usr/lib/python3*/idlelib", "usr/lib/python3*/lib2to3", "usr/lib/python3*/pydoc_data", "usr/lib/python3*/ensurepip",
		"usr/sbin/ldconfig*", "sbin/ldconfig*", "usr/bin/localedef", "**/__pycache__",
	}
	// postgresModules are what Patroni imports when it uses Kubernetes.
	postgresModules = []string{
		"patroni.__main__", "patroni.api", "patroni.ha", "patroni.dcs.kubernetes", "patroni.postgresql", "patroni.validator",
		"patroni.watchdog", "patroni.psycopg", "patroni.postgresql.rewind", "multiprocessing.popen_fork", "importlib.metadata", "psycopg2", "urllib3", "logging.handlers",
	}
)

// PostgresUID is the user that the database runs as in its image.
const PostgresUID = 101

// planPostgres plans the packages of PostgreSQL and Patroni, or says why they
// cannot be had on this machine. Their versions are those that the distribution
// has when they are fetched; see the file packages beside them.
func (b *builder) planPostgres() (p plan, reason string) {
	if !b.native() {
		return plan{}, "images are made for the architecture of the machine only"
	}
	if reason := noApt(); reason != "" {
		return plan{}, reason
	}
	k := newKey("debian", recipePostgres, b.o.Arch, release(), pycScript)
	for _, part := range [][]string{postgresPackages, postgresWithout, postgresPrune, postgresModules} {
		k.add(strings.Join(part, " "))
	}
	return b.planned(family{name: postgresImage, optional: true, build: buildPostgres}, "", k), ""
}

// recipePostgres is part of the key: raise it when the way the tree is made changes.
const recipePostgres = "1"

// buildPostgres makes the image's layer in out: layer, layer.json and packages,
// the list of what it is made of.
func buildPostgres(b *builder, _ family, _, out string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("packages are unpacked with their permissions, which needs root")
	}
	scratch := filepath.Join(b.tmp, "debian")
	defer os.RemoveAll(scratch)
	a := &apt{ctx: b.ctx, dir: scratch, arch: b.o.Arch}
	if err := a.prepare(); err != nil {
		return nil, err
	}
	b.report(Event{Phase: "resolve"})
	resolve := func() ([]debianPackage, error) {
		all, err := a.resolve(postgresPackages...)
		return without(all, postgresWithout), err
	}
	packages, err := resolve()
	if err != nil {
		return nil, err
	}
	var bytes int64
	for _, p := range packages {
		bytes += p.size
	}
	b.report(Event{Phase: "download", Detail: fmt.Sprintf("%d Debian packages, %d MB", len(packages), bytes/1e6)})
	if packages, err = a.download(packages, resolve); err != nil {
		return nil, err
	}
	b.report(Event{Phase: "unpack"})
	root := filepath.Join(scratch, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, err
	}
	if err := a.unpack(packages, root); err != nil {
		return nil, err
	}
	if err := settlePostgres(b, root); err != nil {
		return nil, err
	}
	b.report(Event{Phase: "layers", Detail: postgresImage})
	entries, err := treeEntries(root)
	if err != nil {
		return nil, err
	}
	layer, err := writeLayer(filepath.Join(out, "layer"), entries)
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	for _, p := range packages {
		fmt.Fprintf(&list, "%s %s\n", p.name, p.version)
	}
	if err := os.WriteFile(filepath.Join(out, "packages"), []byte(list.String()), 0o644); err != nil {
		return nil, err
	}
	return nil, layer.describe(filepath.Join(out, "layer.json"))
}

// settlePostgres does what maintainer scripts would have done, as far as it is
// needed, without running them; and proves that nothing is missing.
func settlePostgres(b *builder, root string) error {
	if err := prune(root, postgresPrune); err != nil {
		return err
	}
	if err := linkUsr(root); err != nil {
		return err
	}
	versions, err := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*"))
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("the packages hold %d versions of PostgreSQL, want one", len(versions))
	}
	files := map[string]string{
		"etc/passwd": fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\npostgres:x:%d:%d:PostgreSQL:/var/lib/postgresql:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n", PostgresUID, PostgresUID),
		"etc/group":  fmt.Sprintf("root:x:0:\npostgres:x:%d:\nnogroup:x:65534:\n", PostgresUID),
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	// A place that does not name the version.
	link := filepath.Join(root, "usr/local/lib/postgresql")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := os.Symlink("/usr/lib/postgresql/"+filepath.Base(versions[0]), link); err != nil {
		return err
	}
	missing, err := missingLibraries(root)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("the image lacks the libraries %s", strings.Join(missing, ", "))
	}
	b.report(Event{Phase: "compile", Detail: "Patroni's modules"})
	for _, argv := range [][]string{
		{"/usr/local/lib/postgresql/bin/postgres", "--version"},
		{"/usr/local/lib/postgresql/bin/pg_rewind", "--version"},
		append([]string{"/usr/bin/python3", "-B", "-c", pycScript}, postgresModules...),
	} {
		if err := runIn(b, root, argv); err != nil {
			return err
		}
	}
	return nil
}

// pycScript compiles what Patroni imports, as the packages' scripts would have:
// the root of its containers is read-only, so they could not keep it. The result
// is valid whatever the files' times are.
const pycScript = `import importlib, py_compile, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for module in list(sys.modules.values()):
    source = getattr(module, "__file__", None)
    if source and source.endswith(".py"):
        py_compile.compile(source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
`

// runIn runs a program of the tree at root, with that as its root.
func runIn(b *builder, root string, argv []string) error {
	cmd := exec.CommandContext(b.ctx, argv[0], argv[1:]...)
	cmd.Path, cmd.Dir = argv[0], "/"
	cmd.Err = nil // it is looked for below root, not here
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "PYTHONHASHSEED=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the image's %s does not run: %w: %s", argv[0], err, tail(output, 2000))
	}
	return nil
}

// storedLayer is what layer.json says of the layer beside it.
type storedLayer struct {
	Digest v1.Hash `json:"digest"`
	DiffID v1.Hash `json:"diffID"`
	Size   int64   `json:"size"`
}

func (l *layerFile) describe(path string) error {
	data, err := json.Marshal(storedLayer{l.digest, l.diffID, l.size})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// openLayer opens a layer that was made by an earlier step.
func openLayer(dir string) (v1.Layer, error) {
	data, err := os.ReadFile(filepath.Join(dir, "layer.json"))
	if err != nil {
		return nil, err
	}
	var s storedLayer
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return partial.CompressedToLayer(&layerFile{path: filepath.Join(dir, "layer"), digest: s.Digest, diffID: s.DiffID, size: s.Size})
}

// packageVersions reads which versions of PostgreSQL and Patroni a layer holds.
func packageVersions(dir string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "packages"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "patroni":
			out[name] = version
		case strings.HasPrefix(name, "postgresql-") && strings.Trim(name[len("postgresql-"):], "0123456789") == "":
			out[postgresImage] = version
		}
	}
	if out[postgresImage] == "" || out["patroni"] == "" {
		return nil, fmt.Errorf("%s holds no PostgreSQL with Patroni: %v", dir, out)
	}
	return out, nil
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
