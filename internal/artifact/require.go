package artifact

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Requirement is something the host must have before a build can begin.
type Requirement struct {
	What     string   // "gcc"
	For      string   // what needs it
	Packages []string // Debian packages that bring it
}

// RequirementError lists what the host lacks, and how to mend it.
type RequirementError struct{ Missing []Requirement }

func (e *RequirementError) Error() string {
	var what, packages []string
	for _, m := range e.Missing {
		what = append(what, fmt.Sprintf("%s (for %s)", m.What, m.For))
		packages = append(packages, m.Packages...)
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	text := "cannot build: missing " + strings.Join(what, ", ")
	if len(packages) == 0 {
		return text
	}
	text += "; on Debian: "
	for _, p := range packages {
		if _, foreign, ok := strings.Cut(p, ":"); ok {
			text += "dpkg --add-architecture " + foreign + " && apt-get update && "
			break
		}
	}
	return text + "apt-get install --no-install-recommends " + strings.Join(packages, " ")
}

// Packages are the Debian packages that a build for this machine needs
// besides the Go tool chain.
func Packages() []string {
	return []string{"busybox-static", "e2fsprogs", "gcc", "libc6-dev", "libseccomp-dev", "nftables"}
}

// crossPackages bring a C compiler and libc for another architecture.
func (b *builder) crossPackages() []string {
	return []string{
		"gcc-" + strings.ReplaceAll(gnuTriple[b.o.Arch], "_", "-"),
		"libc6-dev-" + b.o.Arch + "-cross",
	}
}

// checkRequirements looks for everything that the steps to come will use.
func (b *builder) checkRequirements(plans []plan) error {
	var missing []Requirement
	for _, p := range plans {
		if p.ready() {
			continue
		}
		if p.cgo && b.canLink("seccomp.h", "-lseccomp") != nil {
			r := Requirement{What: b.compiler() + " with the static libraries of libc and libseccomp", For: "runc", Packages: []string{"gcc", "libc6-dev", "libseccomp-dev"}}
			if !b.native() {
				r.Packages = append(b.crossPackages(), "libseccomp-dev:"+b.o.Arch)
			}
			missing = append(missing, r)
		}
		if p.name == "pause" && b.canLink("stdio.h") != nil {
			r := Requirement{What: b.compiler() + " with a static libc", For: "the pause container", Packages: []string{"gcc", "libc6-dev"}}
			if !b.native() {
				r.Packages = b.crossPackages()
			}
			missing = append(missing, r)
		}
	}
	if b.native() {
		missing = append(missing, missingForImages()...)
	}
	if len(missing) > 0 {
		return &RequirementError{Missing: missing}
	}
	return nil
}

// missingForImages lists what the key of a set needs and so must be there
// even when there is nothing to do.
func missingForImages() []Requirement {
	var missing []Requirement
	for _, r := range []Requirement{
		{What: "nft", For: "the kube-proxy image", Packages: []string{"nftables"}},
		{What: "mkfs.ext4", For: "the nodes' disks", Packages: []string{"e2fsprogs"}},
		{What: "ldd", For: "the kube-proxy image", Packages: []string{"libc-bin"}},
	} {
		if _, err := lookSystem(r.What); err != nil {
			missing = append(missing, r)
		}
	}
	if _, err := findBusybox(); err != nil {
		missing = append(missing, Requirement{What: "a static busybox", For: "the toolbox image", Packages: []string{"busybox-static"}})
	}
	return missing
}

// lookSystem finds a program also where only root's PATH looks.
func lookSystem(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

// findBusybox returns a busybox that needs no libraries.
func findBusybox() (string, error) {
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static"} {
		if file, err := elf.Open(path); err == nil {
			file.Close()
			if mustBeStatic(path) == nil {
				return path, nil
			}
		}
	}
	return "", errors.New("no static busybox")
}

// canLink tells whether a static C program with this header and these
// libraries compiles and links.
func (b *builder) canLink(header string, libraries ...string) error {
	args := append([]string{"-static", "-x", "c", "-", "-o", os.DevNull}, libraries...)
	cmd := exec.CommandContext(b.ctx, b.compiler(), args...)
	cmd.Stdin = strings.NewReader("#include <" + header + ">\nint main(void) { return 0; }\n")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output)
	}
	return nil
}
