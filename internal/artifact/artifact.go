// Package artifact builds what a lab is made of, once, and finds it again:
// the upstream programs, the container images, the containerd root that all
// nodes share and the disk every node starts from.
//
// A cache directory holds
//
//	programs/FAMILY-ARCH-KEY/   the programs of one upstream family
//	sets/ARCH-KEY/              one generation: bin, cni, golden, disk.img, set.json
//	current-ARCH                symbolic link to the generation in use
//	tmp-ARCH/, lock-ARCH        of a running build
//
// KEY is a hash of everything that goes in, so that what exists is right and
// nothing is built twice. Directories appear by rename: there are no halves.
package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// EnvCache is the environment variable that names the cache directory.
const EnvCache = "ZDL_CACHE"

// Set is everything a lab is made of: built once, read-only afterwards.
type Set struct {
	Dir  string `json:"-"`    // absolute path of this generation
	Arch string `json:"arch"` // "amd64", "arm64"

	// Bin is bound at /opt/zdl/bin in nodes: kubernetes with a link for each
	// of its programs, containerd, containerd-shim-runc-v2, ctr, runc, etcd,
	// etcdctl, etcdutl.
	Bin string `json:"-"`
	// CNI is bound at /opt/cni/bin: ptp, host-local, loopback, portmap,
	// bandwidth, bridge.
	CNI string `json:"-"`
	// Golden is bound read-only at GoldenMount in nodes: the content blobs and
	// committed snapshots that all nodes share. Empty in a cross-built set.
	Golden string `json:"-"`
	// DiskTemplate is a sparse ext4 image of DiskSize bytes, to be copied and
	// mounted at /var. Empty in a cross-built set.
	DiskTemplate string `json:"-"`

	Images   map[string]string `json:"images"`   // short name → reference, "coredns" → "zdl.local/coredns:v1.15.0"
	Versions map[string]string `json:"versions"` // family → version, "kubernetes" → "v1.36.3"
	// Without are the images that were left out, and why: "postgres" → "it is made
	// of Debian packages, and this machine has no apt-get".
	Without map[string]string `json:"without,omitempty"`
}

// GoldenMount is where nodes must see Set.Golden, read-only: the symbolic
// links in the disk template point there.
const GoldenMount = "/opt/zdl/golden"

// DiskSize is the apparent size of the disk template in bytes.
const DiskSize = 10 << 30

// exportDir is the one directory in an export, exportCache the cache in it.
const (
	exportDir   = "zdl-lab"
	exportCache = "artifacts"
)

// MissingError says that a cache lacks what a lab needs.
type MissingError struct {
	What string // what is missing, as a phrase
	Path string // where it should be
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s not found at %s; run: zdl build", e.What, e.Path)
}

// DefaultCache returns the cache directory: $ZDL_CACHE, or the directory
// "artifacts" beside the running program where there is one (an unpacked
// export, see Export), or /var/cache/zdl.
func DefaultCache() string {
	if dir := os.Getenv(EnvCache); dir != "" {
		return dir
	}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Join(filepath.Dir(exe), exportCache)
		if _, err := os.Stat(currentLink(dir, runtime.GOARCH)); err == nil {
			return dir
		}
	}
	return "/var/cache/zdl"
}

// Open returns the current set of cacheDir for this machine's architecture.
// It reads a few file names and costs well under a millisecond. What is
// missing is a *MissingError.
func Open(cacheDir string) (*Set, error) {
	link := currentLink(cacheDir, runtime.GOARCH)
	dir, err := filepath.EvalSymlinks(link)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &MissingError{What: "the programs and images of the lab", Path: link}
	}
	if err != nil {
		return nil, fmt.Errorf("open artifacts: %w", err)
	}
	return OpenGeneration(dir)
}

// OpenGeneration returns the set in one generation's directory (Set.Dir): a
// lab whose disks were made from it goes on with it although a newer one has
// been built. What is missing is a *MissingError.
func OpenGeneration(dir string) (*Set, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open artifacts: %w", err)
	}
	s, err := readSet(dir)
	if err != nil {
		return nil, err
	}
	if s.Arch != runtime.GOARCH {
		return nil, fmt.Errorf("%s holds programs for %s; this machine is %s", dir, s.Arch, runtime.GOARCH)
	}
	for what, path := range map[string]string{
		"the kubernetes binary":      filepath.Join(s.Bin, "kubernetes"),
		"containerd":                 filepath.Join(s.Bin, "containerd"),
		"the CNI plugins":            filepath.Join(s.CNI, "ptp"),
		"the golden containerd root": s.Golden,
		"the disk template":          s.DiskTemplate,
	} {
		if _, err := os.Stat(path); err != nil {
			return nil, &MissingError{What: what, Path: path}
		}
	}
	return s, nil
}

func currentLink(cacheDir, arch string) string {
	return filepath.Join(cacheDir, "current-"+arch)
}

const setFile = "set.json"

func readSet(dir string) (*Set, error) {
	path := filepath.Join(dir, setFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &MissingError{What: "the list of artifacts", Path: path}
	}
	if err != nil {
		return nil, fmt.Errorf("open artifacts: %w", err)
	}
	s := &Set{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("open artifacts: %s: %w", path, err)
	}
	s.at(dir)
	return s, nil
}

func (s *Set) write() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, setFile), append(data, '\n'), 0o644)
}

func (s *Set) at(dir string) {
	s.Dir = dir
	s.Bin = filepath.Join(dir, "bin")
	s.CNI = filepath.Join(dir, "cni")
	if s.Arch == runtime.GOARCH {
		s.Golden = filepath.Join(dir, "golden")
		s.DiskTemplate = filepath.Join(dir, "disk.img")
	}
}
