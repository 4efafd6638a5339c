package ha

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMemoryLimitKillsTheContainerAndNobodyElse(t *testing.T) {
	l := lab(t)
	const ns = "t-memory"
	l.Namespace(t, ns)
	image := l.Image(t, "toolbox")
	// dd wants a block of 256 MiB in memory, of which its container may have 32.
	l.Apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: hog, namespace: %s}, spec: {
  nodeName: %s, restartPolicy: Never, terminationGracePeriodSeconds: 0,
  containers: [
    {name: hog, image: %q, imagePullPolicy: Never, command: [dd, if=/dev/zero, of=/dev/null, bs=256M, count=1], resources: {limits: {memory: 32Mi}}},
    {name: neighbour, image: %q, imagePullPolicy: Never, command: [dd, if=/dev/zero, of=/dev/null, bs=256M, count=1], resources: {limits: {memory: 320Mi}}}]}}`,
		ns, workers[0], image, image))
	waitFor(t, "the container is killed for its memory, its neighbour with room ends well", time.Minute, func(ctx context.Context) error {
		pod, err := l.Client.CoreV1().Pods(ns).Get(ctx, "hog", metav1.GetOptions{})
		if err != nil {
			return err
		}
		reason := map[string]string{}
		for _, c := range pod.Status.ContainerStatuses {
			if ended := c.State.Terminated; ended != nil {
				reason[c.Name] = fmt.Sprintf("%s %d", ended.Reason, ended.ExitCode)
			}
		}
		if reason["hog"] != "OOMKilled 137" || reason["neighbour"] != "Completed 0" {
			return fmt.Errorf("ended as %v", reason)
		}
		return nil
	})
}

// The limit is the kernel's, so the container sees itself throttled.
func TestCPULimitThrottles(t *testing.T) {
	l := lab(t)
	const ns = "t-cpu"
	l.Namespace(t, ns)
	l.Apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: burner, namespace: %s, labels: {app: burner}}, spec: {
  nodeName: %s, terminationGracePeriodSeconds: 0,
  containers: [{name: main, image: %q, imagePullPolicy: Never, command: [/bin/sh, -c, "while :; do :; done"], resources: {limits: {cpu: 100m}}}]}}`,
		ns, workers[0], l.Image(t, "toolbox")))
	l.WaitPods(t, ns, "app=burner", 1, time.Minute)
	waitFor(t, "the container is throttled", 20*time.Second, func(ctx context.Context) error {
		r := l.TryKubectl(ctx, nil, "-n", ns, "exec", "burner", "--", "sh", "-c", "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null; true")
		for line := range strings.Lines(r.Stdout) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "nr_throttled "); ok && n != "0" {
				return nil
			}
		}
		return fmt.Errorf("cpu.stat: %s%s", r.Stdout, r.Stderr)
	})
}
