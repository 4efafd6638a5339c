// Package lab is a running lab: its directories, its daemon, and the verbs that
// act on it as a whole. It composes the packages below it and adds life cycle.
//
// A lab has three parts with lives of their own. The machines (namespaces and
// their PID 1) run by themselves. The daemon supervises them, watches and
// serves; it may die at any moment and a new one adopts the machines. The
// command line asks the daemon over a unix socket.
package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"time"

	"zdl/internal/artifact"
	"zdl/internal/labfile"
)

// DefaultName is the lab that verbs mean when --name is not given.
const DefaultName = "default"

var (
	// ErrNoLab says that there is no lab of that name.
	ErrNoLab = errors.New("there is no such lab")
	// ErrNoDaemon says that the lab exists but nobody supervises it.
	ErrNoDaemon = errors.New("the lab's daemon is not running")
	// ErrRunning says that the lab is up already.
	ErrRunning = errors.New("the lab is running already")
)

// sentence is an error that reads as written and still is one of the sentinels.
type sentence struct {
	text string
	is   error
}

func (s sentence) Error() string { return s.text }
func (s sentence) Unwrap() error { return s.is }

func say(is error, format string, args ...any) error {
	return sentence{text: fmt.Sprintf(format, args...), is: is}
}

func noLab(name string) error {
	return say(ErrNoLab, "no lab %q on this machine; start one: zdl up --name %s", name, name)
}

// Dirs are the places on the host that labs use.
type Dirs struct {
	Cache string // built programs and images, shared by all labs
	State string // one directory per lab: what survives a reboot
	Run   string // one directory per lab: what does not
}

// DefaultDirs reads ZDL_STATE and ZDL_RUN and falls back to /var/lib/zdl and
// /run/zdl; the cache is artifact.DefaultCache.
func DefaultDirs() Dirs {
	or := func(env, fallback string) string {
		if v := os.Getenv(env); v != "" {
			return v
		}
		return fallback
	}
	return Dirs{
		Cache: artifact.DefaultCache(),
		State: or("ZDL_STATE", "/var/lib/zdl"),
		Run:   or("ZDL_RUN", "/run/zdl"),
	}
}

func (d Dirs) state(name string) string { return filepath.Join(d.State, name) }
func (d Dirs) run(name string) string   { return filepath.Join(d.Run, name) }

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$`)

// CheckName tells whether a lab may have this name.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("lab name %q is not allowed: use 1 to 20 lower-case letters, digits and hyphens, beginning and ending with a letter or digit", name)
	}
	return nil
}

// List names all labs that have state or something running, sorted.
func List(d Dirs) ([]string, error) {
	seen := map[string]bool{}
	for _, root := range []string{d.State, d.Run} {
		entries, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() && validName.MatchString(e.Name()) {
				seen[e.Name()] = true
			}
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	return names, nil
}

// Progress is one step of a boot or of a shutdown.
type Progress struct {
	Phase   string        `json:"phase"`            // machine-readable: "fabric", "etcd", …
	Detail  string        `json:"detail,omitempty"` // for people
	Elapsed time.Duration `json:"elapsed"`          // nanoseconds since the verb began
	Done    bool          `json:"done"`             // the phase is complete
}

// UpOptions say how to boot.
type UpOptions struct {
	Name       string
	Lab        *labfile.Lab   // nil: the stored one, else the default profile
	Listen     Listen         // where page and API are served
	Foreground bool           // stay and supervise instead of leaving a daemon behind
	Progress   func(Progress) // may be nil
}

// Info is what a user needs to know about a lab that is up.
type Info struct {
	Name       string        `json:"name"`
	Profile    string        `json:"profile,omitempty"`
	Page       string        `json:"page"`             // URL of the page and of its API
	Public     string        `json:"public,omitempty"` // URL for visitors from elsewhere; "": there are none
	API        string        `json:"api"`              // URL of the Kubernetes API through the virtual IP
	Users      string        `json:"users"`            // URL of the service as its users reach it
	Kubeconfig string        `json:"kubeconfig"`       // path
	Serving    time.Duration `json:"serving"`          // nanoseconds until the first 200 through the users' virtual IP with all nodes Ready
	Took       time.Duration `json:"took"`             // nanoseconds until everything is redundant and `zdl up` returned
	Phases     []Progress    `json:"phases"`
}

// DownOptions say how to take a lab down.
type DownOptions struct {
	KeepData bool // leave the state directory, so that the next up brings the same cluster back
	Progress func(Progress)
}
