package step

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"zdl/internal/fault"
)

// PodImage replaces the images of a pod's containers by one that does nothing,
// so that the pod stays but fails until the images are put back.
type PodImage struct {
	w         *World
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	UID       string            `json:"uid"`
	Images    map[string]string `json:"images"` // container → image, as it was
	Image     string            `json:"image"`  // what all of them get
}

// NewPodImage plans to replace the images of a pod.
func (w *World) NewPodImage(pod *corev1.Pod, image string) fault.Step {
	p := &PodImage{w: w, Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Image: image, Images: map[string]string{}}
	for _, c := range pod.Spec.Containers {
		p.Images[c.Name] = c.Image
	}
	return p
}

// Mechanism is "pod-image".
func (p *PodImage) Mechanism() string { return "pod-image" }

// Touches the pod object.
func (p *PodImage) Touches() []string { return []string{"object/pod/" + p.Namespace + "/" + p.Name} }

// Inject writes the other image into the pod.
func (p *PodImage) Inject(ctx context.Context) error {
	images := map[string]string{}
	for name := range p.Images {
		images[name] = p.Image
	}
	return p.patch(ctx, images)
}

// Verify waits until the kubelet has ended every container that ran an image of
// before.
func (p *PodImage) Verify(ctx context.Context) (string, error) {
	pod, err := p.get(ctx)
	if err != nil {
		return "", err
	}
	if pod == nil {
		return "", fmt.Errorf("the pod %s/%s is gone", p.Namespace, p.Name)
	}
	for _, c := range pod.Spec.Containers {
		at := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == c.Name })
		if c.Image != p.Image {
			return "", fmt.Errorf("container %s of %s/%s still has the image %s", c.Name, p.Namespace, p.Name, c.Image)
		}
		if at >= 0 && pod.Status.ContainerStatuses[at].State.Running != nil && pod.Status.ContainerStatuses[at].Image == p.Images[c.Name] {
			return "", fmt.Errorf("container %s of %s/%s still runs %s", c.Name, p.Namespace, p.Name, p.Images[c.Name])
		}
	}
	return fmt.Sprintf("no container of %s/%s runs its own image any more; they have %s", p.Namespace, p.Name, p.Image), nil
}

// Undo puts the images back. A pod that is gone needs none.
func (p *PodImage) Undo(ctx context.Context) error { return p.patch(ctx, p.Images) }

// State is the images. Of a pod that is gone, nothing is left to compare.
func (p *PodImage) State(ctx context.Context) (map[string]string, error) {
	pod, err := p.get(ctx)
	if err != nil {
		return nil, err
	}
	state := map[string]string{}
	for name, image := range p.Images {
		state[p.key(name)] = image
	}
	if pod != nil {
		for _, c := range pod.Spec.Containers {
			state[p.key(c.Name)] = c.Image
		}
	}
	return state, nil
}

func (p *PodImage) key(container string) string {
	return fmt.Sprintf("image of container %s of %s/%s", container, p.Namespace, p.Name)
}

// get is the pod, or nil when that very pod is gone.
func (p *PodImage) get(ctx context.Context) (*corev1.Pod, error) {
	kube, err := p.w.Kube()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	pod, err := kube.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(pod.UID) != p.UID {
		return nil, nil
	}
	return pod, err
}

// patch writes images into exactly this pod, or does nothing when it is gone.
func (p *PodImage) patch(ctx context.Context, images map[string]string) error {
	kube, err := p.w.Kube()
	if err != nil {
		return err
	}
	type container struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	}
	var containers []container
	for name, image := range images {
		containers = append(containers, container{name, image})
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"uid": p.UID}, // another pod of the name is a conflict
		"spec":     map[string]any{"containers": containers},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	_, err = kube.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
