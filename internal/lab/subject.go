package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"zdl/internal/artifact"
	"zdl/internal/cause"
	"zdl/internal/cluster"
	"zdl/internal/cluster/local/fabric"
	"zdl/internal/experiment"
	"zdl/internal/fault"
	"zdl/internal/labfile"
	"zdl/internal/load"
	"zdl/internal/niceness"
	"zdl/internal/probe"
	"zdl/internal/timeline"
	"zdl/internal/topology"
	"zdl/internal/web"
)

// Subject is a running lab as experiments see it, through the API that the page
// and the command line use.
type Subject struct {
	client *Client
	dirs   Dirs
	name   string
}

var _ experiment.Lab = (*Subject)(nil)

// NewSubject makes a lab the subject of experiments.
func NewSubject(c *Client, d Dirs, name string) *Subject { return &Subject{c, d, name} }

// Faults lists the catalogue.
func (s *Subject) Faults(ctx context.Context) (out []fault.Kind, err error) {
	err = s.client.Do(ctx, http.MethodGet, "/api/v1/faults", nil, &out)
	return out, err
}

// Attacks lists active attacks and the latest that are over.
func (s *Subject) Attacks(ctx context.Context) (out []fault.Attack, err error) {
	err = s.client.Do(ctx, http.MethodGet, "/api/v1/attacks", nil, &out)
	return out, err
}

// Attack injects a fault and returns when it is proven.
func (s *Subject) Attack(ctx context.Context, r fault.Request) (out fault.Attack, err error) {
	err = s.client.Do(ctx, http.MethodPost, "/api/v1/attacks", r, &out)
	return out, err
}

// Heal undoes one attack.
func (s *Subject) Heal(ctx context.Context, id string) (out fault.Attack, err error) {
	err = s.client.Do(ctx, http.MethodPost, "/api/v1/attacks/"+id+"/heal", struct{}{}, &out)
	return out, err
}

// HealAll undoes all.
func (s *Subject) HealAll(ctx context.Context) (out []fault.Attack, err error) {
	err = s.client.Do(ctx, http.MethodPost, "/api/v1/heal", struct{}{}, &out)
	return out, err
}

// Snapshot is the cluster as last seen.
func (s *Subject) Snapshot(ctx context.Context) (out cluster.Snapshot, err error) {
	err = s.client.Do(ctx, http.MethodGet, "/api/v1/snapshot", nil, &out)
	return out, err
}

// Probe is the service as its users see it.
func (s *Subject) Probe(ctx context.Context) (probe.Summary, error) {
	var out web.ProbeReply
	err := s.client.Do(ctx, http.MethodGet, "/api/v1/probe", nil, &out)
	return out.Summary, err
}

// Outages lists those with an ID above after.
func (s *Subject) Outages(ctx context.Context, after int) (out []probe.Outage, err error) {
	err = s.client.Do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/outages?after=%d", after), nil, &out)
	return out, err
}

// Timeline lists entries after a number.
func (s *Subject) Timeline(ctx context.Context, since int64) (out []timeline.Entry, err error) {
	err = s.client.Do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/timeline?since=%d", since), nil, &out)
	return out, err
}

// Measure probes a further subject until ctx ends.
func (s *Subject) Measure(ctx context.Context, r probe.Request, each func(probe.Report) error) error {
	return s.client.Probe(ctx, r, each)
}

// Cause explains an outage of the service.
func (s *Subject) Cause(ctx context.Context, outage int) (out cause.Breakdown, err error) {
	err = s.client.Do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/outages/%d/cause", outage), nil, &out)
	return out, err
}

// Kubectl runs the lab's kubectl with its kubeconfig. In what is given to it,
// {{image NAME}} stands for an image that the lab is made of. It ends with this process,
// however that ends: it must not go on to change what is being put right.
func (s *Subject) Kubectl(ctx context.Context, args []string, stdin string) (string, error) {
	env, err := KubectlEnv(s.dirs, s.name)
	if err != nil {
		return "", err
	}
	set, err := artifact.Open(s.dirs.Cache)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(set.Bin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), env...)
	for name, image := range set.Images {
		stdin = strings.ReplaceAll(stdin, "{{image "+name+"}}", image)
	}
	cmd.Stdin = strings.NewReader(stdin)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal is sent when the thread ends that began it
	defer runtime.UnlockOSThread()
	// Without the urgency of the generator of load, which it must not disturb.
	if err := niceness.During(0, cmd.Run); err != nil {
		return both.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(both.String()))
	}
	return both.String(), nil
}

// Load makes load from the machine "outside".
func (s *Subject) Load(ctx context.Context, p *load.Plan) (*load.Result, error) {
	path := labFilePath(s.dirs, s.name)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	shape, err := labfile.Parse(data, path)
	if err != nil {
		return nil, err
	}
	network := fabric.New(s.name, topology.New(shape), s.dirs.run(s.name))
	plan := *p
	plan.Dial = func(ctx context.Context, proto, addr string) (net.Conn, error) {
		return network.Dial(ctx, "outside", proto, addr)
	}
	return load.Run(ctx, &plan, nil)
}
