package step

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine"
	"zdl/internal/fault"
	"zdl/internal/stress"
)

// Place is a control group of a machine, found again after its container has been
// replaced: the machine's own, or that of one container.
type Place struct {
	Machine   string `json:"machine"`
	Namespace string `json:"namespace,omitempty"` // "" is the machine itself
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
}

func (p Place) String() string {
	if p.Pod == "" {
		return p.Machine
	}
	return fmt.Sprintf("container %s of %s/%s on %s", p.Container, p.Namespace, p.Pod, p.Machine)
}

func (p Place) key() string {
	return strings.Join([]string{p.Machine, p.Namespace, p.Pod, p.Container}, "/")
}

// PlaceOf names a container of a pod, by its name or, where there is only one, by "".
func (w *World) PlaceOf(node, namespace, pod, container string) (Place, error) {
	all, err := w.Local.Containers(node)
	if err != nil {
		return Place{}, err
	}
	var names []string
	for _, c := range all {
		if c.In(namespace, pod) && !c.Sandbox && !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return Place{}, fault.Refuse(fmt.Sprintf("No container of %s/%s runs on %s.", namespace, pod, node), "choose a pod that runs")
	case container == "" && len(names) == 1:
		container = names[0]
	case !slices.Contains(names, container):
		return Place{}, fault.Refuse(fmt.Sprintf("%s/%s has no container %q.", namespace, pod, container), "-p container=NAME with one of "+strings.Join(names, ", "))
	}
	return Place{Machine: node, Namespace: namespace, Pod: pod, Container: container}, nil
}

// errNoContainer is returned for a container that does not run now.
var errNoContainer = errors.New("it does not run")

// container is the one that runs at a place now.
func (w *World) container(p Place) (*local.Container, error) {
	all, err := w.Local.Containers(p.Machine)
	if err != nil {
		return nil, err
	}
	for i := range all {
		c := &all[i]
		if !c.In(p.Namespace, p.Pod) || c.Name != p.Container || c.Sandbox {
			continue
		}
		// The directory of one that has ended stays for a moment.
		if _, err := w.Local.ContainerProcess(c); err == nil {
			return c, nil
		} else if !errors.Is(err, machine.ErrGone) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%v: %w", p, errNoContainer)
}

// part is the place's control group, and the process whose PID namespace is its.
func (w *World) part(p Place) (cgroup.Part, int, error) {
	m, err := w.Local.Machine(p.Machine)
	if err != nil {
		return cgroup.Part{}, 0, fmt.Errorf("%s: %w", p.Machine, err)
	}
	if p.Pod == "" {
		return m.Cgroup().Part(""), m.PID(), nil
	}
	c, err := w.container(p)
	if err != nil {
		return cgroup.Part{}, 0, err
	}
	process, err := w.Local.ContainerProcess(c)
	return m.Cgroup().Part(c.Group), process.PID, err
}

// Stress uses up processor time or memory in a control group. It ends with the
// container or machine that it is in, and with the daemon.
type Stress struct {
	w *World
	Place
	Workers int     `json:"workers,omitempty"`
	Load    float64 `json:"load,omitempty"`   // of each worker, 0 to 1
	Memory  int64   `json:"memory,omitempty"` // bytes
	Rate    int64   `json:"rate,omitempty"`   // bytes a second
	// Limit is the memory limit that bounds the place, 0 if there is none.
	Limit int64 `json:"limit,omitempty"`

	sharedBefore int64 // what the group held when this daemon began
	began        time.Time
}

// NewStress plans a stress. The memory is a number of bytes, or with percent a
// share of the limit that holds for the place.
func (w *World) NewStress(p Place, config stress.Config, percent float64) (*Stress, error) {
	s := &Stress{w: w, Place: p, Workers: config.Workers, Load: config.Load, Memory: config.Memory, Rate: config.Rate}
	var err error
	if s.Limit, err = w.memoryLimit(p); err != nil {
		return nil, err
	}
	if percent > 0 && s.Memory == 0 {
		if s.Limit == 0 {
			return nil, fault.Refuse(fmt.Sprintf("%v has no memory limit to take a share of.", p), "-p size=256Mi")
		}
		s.Memory = int64(percent * float64(s.Limit))
	}
	return s, nil
}

// memoryLimit is the smallest limit of a place and of what it lies in.
func (w *World) memoryLimit(p Place) (int64, error) {
	m, err := w.Local.Machine(p.Machine)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.Machine, err)
	}
	group := ""
	if p.Pod != "" {
		c, err := w.container(p)
		if err != nil {
			return 0, err
		}
		group = c.Group
	}
	least := int64(0)
	for ; ; group = path.Dir(group) {
		if group == "/" {
			group = ""
		}
		n, err := m.Cgroup().Part(group).MemoryLimit()
		if err != nil {
			return 0, err
		}
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
		if group == "" {
			return least, nil
		}
	}
}

// Mechanism is "stress".
func (s *Stress) Mechanism() string { return "stress" }

// Touches processor or memory of the place.
func (s *Stress) Touches() []string {
	return []string{map[bool]string{true: "memory/", false: "cpu/"}[s.Memory > 0] + s.key()}
}

func (s *Stress) helper() string { return s.Mechanism() + "/" + s.Touches()[0] }

// Inject starts the stress.
func (s *Stress) Inject(context.Context) error {
	part, pid, err := s.w.part(s.Place)
	if err != nil {
		return err
	}
	if s.sharedBefore, err = part.SharedMemory(); err != nil {
		return err
	}
	s.began = time.Now()
	return s.w.startHelper(s.helper(), "stress", "-", stress.Config{
		Groups: part.JoinDirs(), PIDNS: fmt.Sprintf("/proc/%d/ns/pid", pid),
		Workers: s.Workers, Load: s.Load, Memory: s.Memory, Rate: s.Rate,
	})
}

// Verify measures what the control group uses.
func (s *Stress) Verify(ctx context.Context) (string, error) {
	if s.Memory > 0 {
		return s.verifyMemory()
	}
	return s.verifyCPU(ctx)
}

// verifyCPU wants a fifth of what was asked for: a busy host or the target's
// own quota may not give more. The number is in the evidence.
func (s *Stress) verifyCPU(ctx context.Context) (string, error) {
	const window = 200 * time.Millisecond
	part, _, err := s.w.part(s.Place)
	if err != nil {
		return "", err
	}
	if err := s.w.helperRuns(s.helper()); err != nil {
		return "", err
	}
	begin := time.Now()
	before, err := part.CPUTime()
	if err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(window):
	}
	after, err := part.CPUTime()
	if err != nil {
		return "", err
	}
	used := (after - before).Seconds() / time.Since(begin).Seconds()
	asked := min(float64(s.Workers)*s.Load, float64(runtime.NumCPU()))
	bound := ""
	if quota, err := part.Quota(); err == nil {
		var q, period float64
		if n, _ := fmt.Sscanf(quota, "%g %g", &q, &period); n == 2 && q/period < asked {
			asked = q / period
			bound = fmt.Sprintf(", bound by its limit of %.2f", asked)
		}
	}
	if used < asked/5 {
		return "", fmt.Errorf("%v uses %.2f CPUs of %.2f", s.Place, used, asked)
	}
	return fmt.Sprintf("%v used %.2f CPUs over %v; asked for %d × %.0f %%%s", s.Place, used, window, s.Workers, 100*s.Load, bound), nil
}

// verifyMemory wants all of the memory to be held, or the group to have been out
// of memory on the way there.
func (s *Stress) verifyMemory() (string, error) {
	ended := s.w.helperRuns(s.helper())
	if ended != nil && s.Pod != "" && !s.began.IsZero() {
		// It lives in the container's PID namespace, so it went with it.
		return fmt.Sprintf("%v was out of memory (limit %s) and had ended after %.1f s",
			s.Place, mebibytes(s.Limit), time.Since(s.began).Seconds()), nil
	}
	if ended != nil {
		return "", ended
	}
	part, _, err := s.w.part(s.Place)
	if err != nil {
		return "", err
	}
	now, err := part.SharedMemory()
	if err != nil {
		return "", err
	}
	held := now - s.sharedBefore
	if held < s.Memory/10*9 {
		return "", fmt.Errorf("%v holds %s more than before, not yet %s", s.Place, mebibytes(held), mebibytes(s.Memory))
	}
	return fmt.Sprintf("the memory of %v rose by %s (limit %s) in %.1f s", s.Place, mebibytes(held), mebibytes(s.Limit), time.Since(s.began).Seconds()), nil
}

// Undo ends the stress. One of an earlier daemon ended with that.
func (s *Stress) Undo(context.Context) error {
	s.w.stopHelper(s.helper())
	return nil
}

// State tells whether the stress runs.
func (s *Stress) State(context.Context) (map[string]string, error) {
	state := "none"
	if s.w.helperRuns(s.helper()) == nil {
		state = "running"
	}
	return map[string]string{"stress of " + s.Touches()[0]: state}, nil
}

func mebibytes(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
