package harness

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"zdl/test/residue"
)

// Condition records what faults change in a lab that is up: links, queueing
// disciplines and packet filters of every namespace, limits and freezers of
// machines, helper processes, certificates and manifests, Node objects. It asks the
// kernel and the API server, not the lab, so that it can contradict it.
func (l *Lab) Condition(ctx context.Context) (Trace, error) {
	t := Trace{residue.Trace{}}
	for _, take := range []func(context.Context, Trace) error{l.networks, l.limits, l.helpers, l.originals, l.nodeSpecs} {
		if err := take(ctx, t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// changing matches what is another after a machine was switched off and on:
// numbers of interfaces and addresses that the kernel makes up.
var changing = regexp.MustCompile(`^\d+: |link/\S+ \S+ brd \S+|link-netns\S* \S+|@if\d+|@[a-z0-9.-]+`)

func (l *Lab) networks(ctx context.Context, t Trace) error {
	spaces, err := filepath.Glob(filepath.Join(l.RunDir(), "netns", "*"))
	if err != nil {
		return err
	}
	for _, space := range spaces {
		name := filepath.Base(space)
		isSwitch := strings.HasPrefix(name, "switch.")
		links, err := inNetwork(ctx, space, "ip", "-o", "link")
		if err != nil {
			return err
		}
		for line := range strings.Lines(links) {
			line = changing.ReplaceAllString(strings.TrimSpace(line), "")
			if strings.HasPrefix(line, "veth") || strings.HasPrefix(line, "cni") { // of pods, which come and go
				continue
			}
			t.Add("link in %s: %s", name, strings.Join(strings.Fields(line), " "))
		}
		// In machines kube-proxy's rules follow the pods; what a fault adds is a table.
		what := "tables"
		if isSwitch {
			what = "ruleset"
		}
		filters, err := inNetwork(ctx, space, "nft", "list", what)
		if err != nil {
			return err
		}
		for line := range strings.Lines(filters) {
			t.Add("packet filter in %s: %s", name, strings.TrimSpace(line))
		}
	}
	return nil
}

func inNetwork(ctx context.Context, space string, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + space, "--"}, argv...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", argv[0], space, err, out)
	}
	return string(out), nil
}

// limit matches the files of control groups that a fault may write.
var limit = regexp.MustCompile(`^(cpu\.(cfs_quota_us|max|shares|weight)|memory\.(limit_in_bytes|max)|pids\.max|blkio\.throttle\.(read|write)_(bps|iops)_device|io\.max)$`)

// limits are those of machines; of everything below them it is told only what is
// frozen.
func (l *Lab) limits(_ context.Context, t Trace) error {
	return filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // control groups come and go
		}
		_, below, ok := strings.Cut(filepath.Dir(path), "/zdl/"+l.Name)
		if !ok {
			return nil
		}
		frozen := e.Name() == "freezer.state" || e.Name() == "cgroup.freeze"
		if !frozen && (!limit.MatchString(e.Name()) || strings.Count(below, "/") > 1) {
			return nil
		}
		value, err := os.ReadFile(path)
		text := strings.TrimSpace(string(value))
		if err != nil || frozen && (text == "THAWED" || text == "0") {
			return nil
		}
		t.Add("control group %s: %s", path, text)
		return nil
	})
}

// helpers are processes of the lab that are no machine's first.
func (l *Lab) helpers(_ context.Context, t Trace) error {
	inits, err := l.Inits()
	if err != nil {
		return err
	}
	first := map[int]bool{}
	for _, p := range inits {
		first[p.PID] = true
	}
	pids, err := allPIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		argv := strings.ReplaceAll(strings.Trim(string(line), "\x00"), "\x00", " ")
		if strings.Contains(argv, "zdl-init") && strings.Contains(argv, l.RunDir()) && !first[pid] {
			t.Add("helper %s", argv)
		}
	}
	return nil
}

// originals are files that faults replace.
func (l *Lab) originals(_ context.Context, t Trace) error {
	return filepath.WalkDir(l.StateDir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !e.Type().IsRegular() || !(strings.Contains(path, "/pki/") || strings.Contains(path, "/manifests/") || strings.Contains(path, "/kept/")) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			t.Add("file %s: %x", path, sha256.Sum256(data))
		}
		return nil
	})
}

func (l *Lab) nodeSpecs(ctx context.Context, t Trace) error {
	r := l.TryKubectl(ctx, nil, "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name}{" "}{.spec.unschedulable}{" "}{.spec.taints}{"\n"}{end}`)
	if r.Code != 0 {
		return fmt.Errorf("kubectl get nodes: %s", r.Stderr)
	}
	for line := range strings.Lines(r.Stdout) {
		t.Add("node %s", strings.TrimSpace(line))
	}
	return nil
}
