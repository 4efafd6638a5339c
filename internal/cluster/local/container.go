package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"zdl/internal/cluster/local/cgroup"
	"zdl/internal/cluster/local/machine"
)

// bundles is where containerd's shim keeps a directory for each container that
// runs, in Kubernetes' namespace (core/runtime/v2 of containerd 2).
const bundles = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"

// Container is a container that runs on a node, or the sandbox of a pod.
type Container struct {
	ID        string
	Machine   string
	Namespace string // of its pod
	Pod       string
	// PodUID is the kubelet's: for static pods another than that of their
	// object at the API server.
	PodUID  string
	Name    string // "" for a sandbox
	Sandbox bool
	// Group is its control group as the machine sees it, in every hierarchy:
	// /kubepods/burstable/podUID/ID. The pod's group is the one above.
	Group  string
	inside int // its first process, as the machine counts
}

// PodGroup is the control group of the container's whole pod.
func (c *Container) PodGroup() string { return path.Dir(c.Group) }

// In tells whether the container belongs to a pod by that name.
func (c *Container) In(namespace, pod string) bool {
	return c.Namespace == namespace && c.Pod == pod
}

// Containers lists what runs on a node, sandboxes included. It reads what the
// container runtime has left in the node's file system, so it works when API
// server, kubelet and runtime do not. A node that is off gives machine.ErrOff.
func (c *Cluster) Containers(node string) ([]Container, error) {
	m, err := c.running(node)
	if err != nil {
		return nil, fmt.Errorf("list the containers of %s: %w", node, err)
	}
	dir := m.Path(bundles)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) { // the runtime has not started yet
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the containers of %s: %w", node, err)
	}
	c.containers.Lock()
	defer c.containers.Unlock()
	before, now := c.containers.known[node], map[string]Container{}
	var out []Container
	for _, e := range entries {
		found, err := readBundle(before, node, filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) { // it is just being made or removed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("container %s of %s: %w", e.Name(), node, err)
		}
		now[found.ID] = found
		out = append(out, found)
	}
	if c.containers.known == nil {
		c.containers.known = map[string]map[string]Container{}
	}
	c.containers.known[node] = now
	return out, nil
}

// containers remembers by node and ID what configurations say: they never
// change, and reading those of a whole node takes milliseconds.
type containers struct {
	sync.Mutex
	known map[string]map[string]Container
}

// readBundle reads one container, of which something may be known.
func readBundle(before map[string]Container, node, dir string) (Container, error) {
	pid, err := os.ReadFile(filepath.Join(dir, "init.pid"))
	if err != nil {
		return Container{}, err
	}
	id := filepath.Base(dir)
	known, ok := before[id]
	if !ok {
		data, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err != nil {
			return Container{}, err
		}
		if known, err = parseBundle(id, node, data); err != nil {
			return Container{}, err
		}
	}
	known.inside, err = strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		return Container{}, fs.ErrNotExist // not written to its end yet
	}
	return known, nil
}

// parseBundle takes from an OCI configuration what containerd's CRI plugin has
// written into it (internal/cri/annotations of containerd 2).
func parseBundle(id, node string, data []byte) (Container, error) {
	var config struct {
		Annotations map[string]string `json:"annotations"`
		Linux       struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return Container{}, fmt.Errorf("read its configuration: %w", err)
	}
	const prefix = "io.kubernetes.cri."
	get := func(key string) string { return config.Annotations[prefix+key] }
	return Container{
		ID: id, Machine: node,
		Namespace: get("sandbox-namespace"), Pod: get("sandbox-name"), PodUID: get("sandbox-uid"),
		Name: get("container-name"), Sandbox: get("container-type") == "sandbox",
		Group: config.Linux.CgroupsPath,
	}, nil
}

// ContainerProcess is the first process of a container, or machine.ErrGone.
func (c *Cluster) ContainerProcess(of *Container) (machine.Process, error) {
	m, err := c.running(of.Machine)
	if err != nil {
		return machine.Process{}, err
	}
	pids, err := m.Cgroup().Pids(of.Group)
	if err != nil {
		return machine.Process{}, err
	}
	p, err := machine.Outer(of.inside, pids)
	if err != nil {
		return p, fmt.Errorf("container %s of %s/%s on %s: %w", of.Name, of.Namespace, of.Pod, of.Machine, err)
	}
	return p, nil
}

// Freezer is that of a machine, or of a control group in it.
func (c *Cluster) Freezer(name, group string) (cgroup.Freezer, error) {
	m, err := c.running(name)
	if err != nil {
		return cgroup.Freezer{}, err
	}
	return m.Cgroup().Freezer(group)
}

// running finds a machine that is on.
func (c *Cluster) running(name string) (*machine.Machine, error) {
	if _, err := c.machine(name); err != nil {
		return nil, err
	}
	m, err := machine.Find(MachineRun(c.RunDir, name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}
