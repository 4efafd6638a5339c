package catalogue

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

var containerParam = fault.Param{Name: "container", Type: fault.Text, Help: "name of a container of the pod; without it "}

// podProcesses lists the faults that end or stop pods and containers.
func (c *catalogue) podProcesses() []fault.Kind {
	killed, frozen := containerParam, containerParam
	killed.Help += "the one that started first"
	frozen.Help += "the whole pod, with what the kubelet starts in it meanwhile"
	return []fault.Kind{
		{
			Name: "pod-kill", Layer: fault.LayerPod, Instant: true,
			Summary: "Delete a pod through the API server.",
			Effect:  "Its Service loses an endpoint; its controller makes another pod, with another name and address.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods,
			Params: []fault.Param{{Name: "grace", Type: fault.Duration, Default: "0s", Min: "0s", Max: "1h",
				Help: "time the pod is given to end by itself; 0s removes it at once, like kubectl delete --grace-period=0 --force"}},
			Needs: []cluster.Capability{cluster.CapabilityAPI},
			Plan:  eachTarget(c.podKill),
		},
		{
			Name: "container-kill", Layer: fault.LayerPod, Instant: true,
			Summary: "SIGKILL the first process of a container, from the host: nothing in the pod or the API server is asked.",
			Effect:  "Its connections are reset; the kubelet starts the container again within seconds, later each time (back-off).",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Params: []fault.Param{killed},
			Needs: []cluster.Capability{cluster.CapabilityExec},
			Plan: eachTarget(func(_ context.Context, in fault.Input, t fault.Target) (fault.Step, error) {
				found, err := c.container(t, in.Values.Text("container"))
				if err != nil {
					return nil, err
				}
				return c.NewContainerKill(found)
			}),
		},
		{
			Name: "pod-failure", Layer: fault.LayerPod,
			Summary: "Replace the images of a pod's containers by the pause image: the pod stays, and fails until that is undone.",
			Effect:  "Its containers are ended with their grace period and do not come back to work; no other pod takes its place.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods,
			Needs: []cluster.Capability{cluster.CapabilityAPI},
			Plan:  c.podFailure,
		},
		{
			Name: "pod-freeze", Layer: fault.LayerPod,
			Summary: "Stop every process of a pod, or of one container, where it stands (cgroup freezer).",
			Effect:  "Connections stay open and are accepted, but nobody answers; readiness probes time out, and with liveness probes the kubelet tries to kill it.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Params: []fault.Param{frozen},
			Needs: []cluster.Capability{cluster.CapabilityExec},
			Plan: eachTarget(func(_ context.Context, in fault.Input, t fault.Target) (fault.Step, error) {
				found, err := c.container(t, in.Values.Text("container"))
				if err != nil {
					return nil, err
				}
				if in.Values.Text("container") != "" {
					return c.NewContainerFreeze(found), nil
				}
				return c.NewPodFreeze(found), nil
			}),
		},
	}
}

// podKill refuses pods that nothing would replace: the fault would not be over
// by itself.
func (c *catalogue) podKill(ctx context.Context, in fault.Input, t fault.Target) (fault.Step, error) {
	pod, err := c.pod(ctx, t)
	if err != nil {
		return nil, err
	}
	owner := metav1.GetControllerOf(pod)
	switch {
	case in.Force:
	case owner == nil:
		return nil, fault.Refuse(fmt.Sprintf("%s belongs to no controller, so nothing would replace it.", t.Name), "container-kill, pod-failure or pod-freeze; --force if you mean it")
	case owner.Kind == "Node":
		return nil, fault.Refuse(fmt.Sprintf("%s is a static pod: the kubelet of %s runs it from a file, and deleting its object does not end it.", t.Name, t.Node), "container-kill; --force if you mean it")
	}
	return c.NewPodDelete(pod.Namespace, pod.Name, string(pod.UID), in.Values.Duration("grace")), nil
}

func (c *catalogue) podFailure(ctx context.Context, in fault.Input) (fault.Plan, error) {
	image := c.Local.PauseImage()
	patience := time.Duration(0)
	plan, err := eachTarget(func(ctx context.Context, in fault.Input, t fault.Target) (fault.Step, error) {
		pod, err := c.pod(ctx, t)
		if err != nil {
			return nil, err
		}
		if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "Node" {
			return nil, fault.Refuse(fmt.Sprintf("%s is a static pod: the kubelet of %s runs it from a file, not from its object.", t.Name, t.Node), "container-kill or pod-freeze")
		}
		for _, x := range pod.Spec.Containers {
			if x.Image == image {
				return nil, fault.Refuse(fmt.Sprintf("Container %s of %s has the image %s already.", x.Name, t.Name, image), "choose another pod")
			}
		}
		if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
			patience = max(patience, time.Duration(*s)*time.Second)
		}
		return c.NewPodImage(pod, image), nil
	})(ctx, in)
	plan.Patience = patience + 15*time.Second // beside the grace, for the kubelet to notice
	return plan, err
}

// pod reads a target from the API server.
func (c *catalogue) pod(ctx context.Context, t fault.Target) (*corev1.Pod, error) {
	namespace, name, _ := strings.Cut(t.Name, "/")
	kube, err := c.Kube()
	if err != nil {
		return nil, fmt.Errorf("the API server cannot be reached: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pod, err := kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(pod.UID) != t.UID {
		return nil, fault.Refuse(fmt.Sprintf("%s is gone.", t.Name), "choose another pod")
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod %s: %w", t.Name, err)
	}
	return pod, nil
}
