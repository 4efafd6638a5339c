package shop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	manifests "zdl/deploy/shop"
	"zdl/internal/addon"
)

// Of Helm's library these are used: the reader of charts, the engine with its lookup
// of what is in the cluster, and the records of releases, so that the program helm
// lists, shows and uninstalls what is installed here. Not used is its package action:
// with it zdl would be 37 MB bigger (62 to 99), and every verb of it would begin with
// 54 MB more of memory, for kubectl's, a registry's and a WebAssembly runtime's sake.

// keptRevisions is how many records there are of former states.
const keptRevisions = 5

// apply installs the chart, or upgrades what is installed. It does not wait for
// pods. routing "" leaves that as it is.
func (m *Manager) apply(ctx context.Context, routing string) (fresh bool, err error) {
	config, err := m.c.Kube()
	if err != nil {
		return false, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return false, err
	}
	space := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": Namespace}}}
	if err := addon.Apply(ctx, config, []*unstructured.Unstructured{space}); err != nil {
		return false, err
	}
	records := storage.Init(driver.NewSecrets(client.CoreV1().Secrets(Namespace)))
	records.MaxHistory = keptRevisions
	old, err := history(records)
	if err != nil {
		return false, err
	}
	next, objects, err := m.prepare(config, old, routing)
	if err != nil {
		return false, err
	}
	fresh = next.Info.Status == common.StatusPendingInstall
	if last := newest(old, nil); last != nil && last.Info.Status == common.StatusDeployed && last.Manifest == next.Manifest {
		next = last // nothing has changed: complete what may be missing
	} else if err := records.Create(next); err != nil {
		return fresh, fmt.Errorf("record the release: %w", err)
	}
	if err := addon.Apply(ctx, config, objects); err != nil {
		next.SetStatus(common.StatusFailed, err.Error())
		return fresh, errors.Join(err, records.Update(next))
	}
	if err := removeLeft(ctx, client, old, objects); err != nil {
		return fresh, err
	}
	for _, r := range old {
		if r.Version != next.Version && r.Info.Status != common.StatusSuperseded {
			r.SetStatus(common.StatusSuperseded, "superseded by another revision")
			// One that is gone by now was too old to be kept.
			if err := records.Update(r); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
				return fresh, fmt.Errorf("record the release: %w", err)
			}
		}
	}
	next.SetStatus(common.StatusDeployed, "by zdl shop up")
	if err := records.Update(next); err != nil {
		return fresh, fmt.Errorf("record the release: %w", err)
	}
	return fresh, nil
}

// history are the records of the release, oldest first.
func history(records *storage.Storage) ([]*release.Release, error) {
	found, err := records.History(manifests.Release)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, fmt.Errorf("read what is installed: %w", err)
	}
	var out []*release.Release
	for _, r := range found {
		if one, ok := r.(*release.Release); ok && one.Info != nil {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b *release.Release) int { return a.Version - b.Version })
	return out, nil
}

// newest is the last record for which is holds, nil: none. A nil is holds for all.
func newest(records []*release.Release, is func(*release.Release) bool) *release.Release {
	for _, r := range slices.Backward(records) {
		if is == nil || is(r) {
			return r
		}
	}
	return nil
}

// prepare renders the next revision. Attempts that never ended count as revisions;
// the passwords that they made are in Secrets, and are found again.
func (m *Manager) prepare(config *rest.Config, old []*release.Release, routing string) (*release.Release, []*unstructured.Unstructured, error) {
	values := maps.Clone(m.c.Values)
	if values == nil {
		values = map[string]any{}
	}
	last := newest(old, nil)
	if routing == "" && last != nil {
		routing = routingOf(last)
	}
	if routing != "" {
		values["ingress"] = map[string]any{"routing": routing}
	}
	now := time.Now()
	next := &release.Release{
		Name: manifests.Release, Namespace: Namespace, Version: 1, Config: values, ApplyMethod: string(release.ApplyMethodServerSideApply),
		Info: &release.Info{FirstDeployed: now, LastDeployed: now, Status: common.StatusPendingInstall},
	}
	if last != nil {
		next.Version, next.Info.FirstDeployed = last.Version+1, last.Info.FirstDeployed
	}
	if newest(old, func(r *release.Release) bool {
		return r.Info.Status == common.StatusDeployed || r.Info.Status == common.StatusSuperseded
	}) != nil {
		next.Info.Status = common.StatusPendingUpgrade
	}
	chart, objects, text, err := manifests.RenderIn(config, values, next.Version)
	if err != nil {
		return nil, nil, err
	}
	next.Chart, next.Manifest = chart, text
	for _, o := range objects {
		own(o)
	}
	return next, objects, nil
}

// own marks an object as one of the release, as Helm does: without these it would
// refuse to touch it.
func own(o *unstructured.Unstructured) {
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels["app.kubernetes.io/managed-by"] = "Helm"
	annotations["meta.helm.sh/release-name"], annotations["meta.helm.sh/release-namespace"] = manifests.Release, Namespace
	o.SetLabels(labels)
	o.SetAnnotations(annotations)
}

// routingOf reads the way of routing from the values of a release.
func routingOf(r *release.Release) string {
	ingress, _ := r.Config["ingress"].(map[string]any)
	way, _ := ingress["routing"].(string)
	return way
}

// removeLeft removes the routes that former revisions had and this one has not:
// nothing else of the chart depends on what zdl changes in its values.
func removeLeft(ctx context.Context, client kubernetes.Interface, old []*release.Release, objects []*unstructured.Unstructured) error {
	wanted := map[string]bool{}
	for _, o := range objects {
		wanted[o.GetKind()+" "+o.GetName()] = true
	}
	for _, r := range old {
		was, err := manifests.Decode([]byte(r.Manifest))
		if err != nil {
			return fmt.Errorf("read revision %d: %w", r.Version, err)
		}
		for _, o := range was {
			if o.GetKind() != "Ingress" || wanted["Ingress "+o.GetName()] {
				continue
			}
			err := client.NetworkingV1().Ingresses(Namespace).Delete(ctx, o.GetName(), metav1.DeleteOptions{})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("remove the route to %s: %w", strings.ToLower(o.GetName()), err)
			}
		}
	}
	return nil
}
