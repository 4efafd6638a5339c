package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"zdl/internal/cluster"
)

// ReadyWithin bounds Up and Down.
const ReadyWithin = 5 * time.Minute

// Up installs the shop, or completes one, and returns when the first order would be
// accepted: every service and store has its replicas, and users are shown goods.
// routing is one of cluster's, or "": as it is, at first per service.
//
// No image has to be brought to a node: like every other, those of the shop are on
// each from the start, shared and at no cost in time, disk or memory until they run.
func (m *Manager) Up(ctx context.Context, routing string) (cluster.Shop, error) {
	switch routing {
	case "", cluster.RoutingPerService, cluster.RoutingAllToWeb:
	default:
		return m.Status(ctx), fmt.Errorf("there is no routing %q: it is %s or %s", routing, cluster.RoutingPerService, cluster.RoutingAllToWeb)
	}
	if m.c.Missing != "" {
		return m.Status(ctx), fmt.Errorf("this lab cannot have a shop: %s", m.c.Missing)
	}
	m.verb.Lock()
	defer m.verb.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, ReadyWithin, fmt.Errorf("not ready within %v", ReadyWithin))
	defer cancel()
	began := time.Now()
	fresh, err := m.apply(ctx, routing)
	if err != nil {
		return m.Status(ctx), err
	}
	s, err := m.wait(ctx)
	if err == nil {
		text := fmt.Sprintf("The shop was changed; it is ready after %.1f s", time.Since(began).Seconds())
		if fresh {
			text = fmt.Sprintf("A shop of %d services and %d stores is ready after %.1f s", len(Services), len(Stores), time.Since(began).Seconds())
		}
		m.record("shop-up", text)
	}
	return s, err
}

// wait returns when everything is there and users are served.
func (m *Manager) wait(ctx context.Context) (cluster.Shop, error) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		s := m.Status(ctx)
		err := errors.New(s.Trouble)
		if s.Ready {
			err = m.serves(ctx, s.Hosts)
		}
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			s.Trouble = err.Error()
			return s, fmt.Errorf("the shop is not ready: %w; until then: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// seen are the pages that users must be shown: the shop's own, and goods, which are
// in the document store.
var seen = []string{"/", "/api/catalogue/products"}

// serves asks as a user does, through the load balancers and the ingress.
func (m *Manager) serves(ctx context.Context, hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("the ingress has no route to the shop")
	}
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DialContext: m.c.Dial, DisableKeepAlives: true}}
	for _, path := range seen {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Address()+path, nil)
		if err != nil {
			return err
		}
		r.Host = hosts[0]
		answer, err := client.Do(r)
		if err != nil {
			return fmt.Errorf("users do not reach the shop: %w", err)
		}
		_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("users who ask for %s are told %s", path, answer.Status)
		}
	}
	return nil
}

// Down removes the shop and everything in it. Volumes on nodes that have no power go
// when these are back.
func (m *Manager) Down(ctx context.Context) error {
	m.verb.Lock()
	defer m.verb.Unlock()
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
	if _, err := spaces.Get(ctx, Namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for asked := false; ; {
		_, err := spaces.Get(ctx, Namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			m.record("shop-down", "The shop was removed")
			return nil
		}
		if err == nil && !asked {
			err = erase(ctx, client)
			asked = err == nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the namespace %s is still there: %w (%v)", Namespace, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// erase ends the pods at once, since nobody needs what they would still write, and
// all that is in the namespace: the release, its records, volumes, what Patroni keeps.
func erase(ctx context.Context, client kubernetes.Interface) error {
	if err := client.CoreV1().Pods(Namespace).DeleteCollection(ctx, *metav1.NewDeleteOptions(0), metav1.ListOptions{}); err != nil {
		return err
	}
	return client.CoreV1().Namespaces().Delete(ctx, Namespace, metav1.DeleteOptions{})
}

func (m *Manager) record(kind, text string) {
	if m.c.Record != nil {
		m.c.Record(kind, Namespace, text, nil)
	}
}
