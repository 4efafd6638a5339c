package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// aptTools are what Debian packages are fetched and unpacked with.
var aptTools = []string{"apt-get", "dpkg-deb"}

// noApt says why Debian packages cannot be had on this machine, "" if they can.
func noApt() string {
	for _, tool := range aptTools {
		if _, err := lookSystem(tool); err != nil {
			return fmt.Sprintf("it is made of Debian packages, and this machine has no %s", tool)
		}
	}
	return ""
}

// release names the distribution whose packages apt-get fetches here, such as
// "debian bookworm".
func release() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[key] = strings.Trim(value, `"`)
		}
	}
	return values["ID"] + " " + values["VERSION_CODENAME"]
}

// apt fetches packages as if nothing was installed, in a directory of its own:
// neither dpkg's records nor apt's caches of this machine are touched, and no
// package's scripts are run. What it fetches is checked against the signed lists
// of the distribution.
type apt struct {
	ctx  context.Context
	dir  string // scratch
	arch string
	// lists of its own, where those of this machine are missing or old.
	lists bool
}

// debianPackage is one package, by the name of its file in the archive.
type debianPackage struct {
	name, version string
	file          string // NAME_VERSION_ARCH.deb, with the epoch's colon as %3a
	size          int64  // bytes to download
}

// fetchLimit bounds one run of apt-get: on a slow line the image is left out
// rather than the build held up.
const fetchLimit = 10 * time.Minute

// run calls apt-get and returns its standard output.
func (a *apt) run(args ...string) ([]byte, error) {
	program, err := lookSystem("apt-get")
	if err != nil {
		return nil, err
	}
	options := []string{
		"Dir::State::status=" + filepath.Join(a.dir, "status"), // empty
		"Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"Debug::NoLocking=true",
		"APT::Architecture=" + a.arch,
		"APT::Install-Recommends=false",
		"APT::Sandbox::User=root",
		"Acquire::Retries=2", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20",
		"Dpkg::Use-Pty=0",
	}
	if a.lists {
		options = append(options, "Dir::State::lists="+filepath.Join(a.dir, "lists"))
	}
	full := []string{"-q", "-y"}
	for _, o := range options {
		full = append(full, "-o", o)
	}
	ctx, cancel := context.WithTimeout(a.ctx, fetchLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(full, args...)...)
	cmd.Dir = filepath.Join(a.dir, "packages")
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get %s: %w: %s", args[0], err, firstError(stderr.String()))
	}
	return out, nil
}

// firstError is the line of apt-get's complaints that says what is wrong.
func firstError(text string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "E: "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return strings.TrimSpace(text)
}

// prepare makes the scratch directory.
func (a *apt) prepare() error {
	for _, dir := range []string{"packages", "cache/archives/partial", "lists/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644)
}

// resolve lists the packages and everything they depend on, sorted by name.
// Where this machine's lists do not know them, fresh lists are fetched.
func (a *apt) resolve(names ...string) ([]debianPackage, error) {
	for {
		out, err := a.run(append([]string{"--print-uris", "install"}, names...)...)
		if err == nil {
			return parseURIs(string(out))
		}
		if a.lists || a.ctx.Err() != nil {
			return nil, err
		}
		if err := a.update(); err != nil {
			return nil, err
		}
	}
}

// update fetches lists into the scratch directory.
func (a *apt) update() error {
	a.lists = true
	_, err := a.run("update")
	return err
}

// parseURIs reads what apt-get --print-uris prints: 'URI' FILE SIZE HASH.
func parseURIs(text string) ([]debianPackage, error) {
	var out []debianPackage
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		p := debianPackage{file: fields[1]}
		parts := strings.Split(strings.TrimSuffix(p.file, ".deb"), "_")
		if len(parts) != 3 {
			return nil, fmt.Errorf("apt-get names a file %q", p.file)
		}
		var err error
		if p.version, err = url.PathUnescape(parts[1]); err != nil {
			return nil, fmt.Errorf("apt-get names a file %q", p.file)
		}
		p.name = parts[0]
		if _, err := fmt.Sscan(fields[2], &p.size); err != nil {
			return nil, fmt.Errorf("apt-get gives %q as the size of %s", fields[2], p.file)
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		return nil, errors.New("apt-get lists no package")
	}
	slices.SortFunc(out, func(a, b debianPackage) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

// download fetches the packages into the scratch directory. Lists that are older
// than the archive are the usual reason why that fails: then it is tried once
// more with fresh ones, and what resolve finds with those is returned.
func (a *apt) download(packages []debianPackage, again func() ([]debianPackage, error)) ([]debianPackage, error) {
	for {
		args := []string{"download"}
		for _, p := range packages {
			args = append(args, p.name+"="+p.version)
		}
		_, err := a.run(args...)
		if err == nil {
			return packages, nil
		}
		if a.lists || a.ctx.Err() != nil {
			return nil, err
		}
		if err := a.update(); err != nil {
			return nil, err
		}
		if packages, err = again(); err != nil {
			return nil, err
		}
	}
}

// unpack puts the files of the packages below root, one package after the other
// in the order of their names, and nothing else: no script of theirs is run.
func (a *apt) unpack(packages []debianPackage, root string) error {
	program, err := lookSystem("dpkg-deb")
	if err != nil {
		return err
	}
	for _, p := range packages {
		cmd := exec.CommandContext(a.ctx, program, "--extract", filepath.Join(a.dir, "packages", p.file), root)
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", p.file, err, tail(output, 1000))
		}
	}
	return nil
}

// without leaves out the packages whose names match one of the patterns.
func without(packages []debianPackage, patterns []string) []debianPackage {
	return slices.DeleteFunc(packages, func(p debianPackage) bool { return matches(patterns, p.name) })
}

// matches tells whether a name matches one of the patterns of path.Match.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}
