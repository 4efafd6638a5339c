package database

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"zdl/internal/addon"
	"zdl/internal/database/patroni"
	"zdl/internal/probe"
)

// ReadyWithin bounds Up. On two idle cores it takes some twenty seconds.
const ReadyWithin = 3 * time.Minute

// Up installs the database, or completes one, and returns when users can write
// to it and every member follows. synchronous nil leaves that as it is, at first
// off.
func (m *Manager) Up(ctx context.Context, synchronous *bool) (Status, error) {
	if m.c.Missing != "" {
		return m.Status(ctx), fmt.Errorf("this lab cannot have a database: %s", m.c.Missing)
	}
	m.verb.Lock()
	defer m.verb.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, ReadyWithin, fmt.Errorf("not ready within %v", ReadyWithin))
	defer cancel()
	began := time.Now()
	fresh := m.installed() == nil
	k := newKept()
	if old := m.installed(); old != nil {
		copied := *old
		k = &copied
	}
	if synchronous != nil {
		k.Synchronous = *synchronous
	}
	// The manifest says how it begins; afterwards Patroni keeps its settings itself.
	objects, err := m.c.Objects(addon.Database{Synchronous: fresh && k.Synchronous, Passwords: k.Passwords})
	if err != nil {
		return m.Status(ctx), err
	}
	k.Members = replicas(objects)
	if fresh {
		if err := m.keep(k); err != nil {
			return m.Status(ctx), err
		}
	}
	config, err := m.c.Kube()
	if err != nil {
		return m.Status(ctx), err
	}
	if err := addon.Apply(ctx, config, objects); err != nil {
		return m.Status(ctx), err
	}
	if err := m.open(ctx); err != nil {
		return m.Status(ctx), err
	}
	s, err := m.wait(ctx)
	if err == nil && synchronous != nil && s.Synchronous != k.Synchronous {
		s, err = m.synchronise(ctx, s, k)
	}
	if err == nil && fresh {
		m.record("database-up", fmt.Sprintf("A database of %d members is ready after %.1f s; %s leads", len(s.Members), time.Since(began).Seconds(), s.Primary), s.Primary)
	}
	return s, err
}

// replicas is the number of members that the manifest asks for.
func replicas(objects []*unstructured.Unstructured) int {
	for _, o := range objects {
		if o.GetKind() == "StatefulSet" {
			if n, ok, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); ok {
				return int(n)
			}
		}
	}
	return 0
}

// synchronise changes by Patroni's own means whether commits wait for a second
// member, and waits until that is so.
func (m *Manager) synchronise(ctx context.Context, s Status, k *kept) (Status, error) {
	client := &patroni.Client{Dial: m.c.Dial, User: RESTUser, Password: k.Passwords.RESTAPI}
	at := m.address(s.Primary)
	if err := client.Configure(ctx, at, map[string]any{"synchronous_mode": k.Synchronous}); err != nil {
		return s, err
	}
	if err := m.keep(k); err != nil {
		return s, err
	}
	text := "Commits do not wait for a second member any more"
	if k.Synchronous {
		text = "Every commit now waits for a second member"
	}
	m.record("database-synchronous", text, s.Primary)
	return m.wait(ctx)
}

func (m *Manager) address(pod string) netip.Addr {
	for _, x := range Members(m.c.Snapshot()) {
		if x.Pod == pod {
			return address(&x)
		}
	}
	return netip.Addr{}
}

// settled says what is still missing, nil: nothing. Users can log in and write,
// and commits wait for somebody where they shall.
func (m *Manager) settled(ctx context.Context, s *Status) error {
	if !s.Ready {
		return errors.New(s.Trouble)
	}
	synced := 0
	for _, x := range s.Members {
		if x.Sync {
			synced++
		}
	}
	if (synced > 0) != (s.Synchronous && len(s.Members) > 1) {
		return fmt.Errorf("commits wait for %d members", synced)
	}
	password, err := m.Password()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	d := probe.Database{Address: Address(), User: User, Password: password, Name: Name, Dial: m.c.Dial}
	return d.Prepare(ctx)
}

// wait returns when everything is settled.
func (m *Manager) wait(ctx context.Context) (Status, error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		s := m.Status(ctx)
		err := m.settled(ctx, &s)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("the database is not ready: %w; until then: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// Down removes the database and everything in it. Volumes on nodes that have no
// power go when these are back.
func (m *Manager) Down(ctx context.Context) error {
	m.verb.Lock()
	defer m.verb.Unlock()
	was := m.Installed()
	if err := m.close(ctx); err != nil {
		return err
	}
	config, err := m.c.Kube()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, ReadyWithin, fmt.Errorf("not gone within %v", ReadyWithin))
	defer cancel()
	spaces := client.CoreV1().Namespaces()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for asked := false; ; {
		_, err := spaces.Get(ctx, Namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			break
		}
		if err == nil && !asked {
			err = m.erase(ctx, client)
			asked = err == nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the namespace %s is still there: %w (%v)", Namespace, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
	if was {
		m.record("database-down", "The database was removed", "")
	}
	return m.forget()
}

// erase asks for the end of everything. Pods first and at once: nobody needs what
// a primary would still write to disk.
func (m *Manager) erase(ctx context.Context, client kubernetes.Interface) error {
	if err := client.AppsV1().StatefulSets(Namespace).Delete(ctx, App, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err := client.CoreV1().Pods(Namespace).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{}); err != nil {
		return err
	}
	return client.CoreV1().Namespaces().Delete(ctx, Namespace, metav1.DeleteOptions{})
}

func (m *Manager) record(kind, text, primary string) {
	if m.c.Record != nil {
		m.c.Record(kind, Namespace, text, map[string]string{"primary": primary})
	}
}
