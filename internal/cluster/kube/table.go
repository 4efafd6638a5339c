package kube

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// table keeps one kind of object up to date, as rows of the few fields that are
// shown. It is the store of a client-go reflector: objects are trimmed on
// arrival and never kept.
type table[Row any] struct {
	resource string
	convert  func(runtime.Object) Row
	// changed is called when a row is new, other than before or gone.
	changed func()
	// same tells whether two rows differ in nothing that counts as a change; nil:
	// in nothing at all.
	same func(a, b *Row) bool
	// moved, where set, is told each such change: old or now is nil for a row that
	// is new or gone. It is not called for what the first list finds.
	moved func(old, now *Row)

	mu   sync.RWMutex
	rows map[types.UID]stamped[Row]
	last time.Time // when any row last changed

	synced    atomic.Bool
	connected atomic.Bool // a watch is open
}

// stamped is a row and when its last change was heard of.
type stamped[Row any] struct {
	row  Row
	seen time.Time
}

// run keeps the table current until ctx ends. Failed lists and watches are
// tried again after 0.2 to 2 s, forever.
func (t *table[Row]) run(ctx context.Context, c rest.Interface, params runtime.ParameterCodec, example runtime.Object, namespace string, sel selector) {
	list := func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		o.FieldSelector, o.LabelSelector = sel.field, sel.label
		return c.Get().NamespaceIfScoped(namespace, namespace != "").Resource(t.resource).
			VersionedParams(&o, params).Do(ctx).Get()
	}
	open := func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.Watch, o.FieldSelector, o.LabelSelector = true, sel.field, sel.label
		w, err := c.Get().NamespaceIfScoped(namespace, namespace != "").Resource(t.resource).
			VersionedParams(&o, params).Watch(ctx)
		if err != nil {
			return nil, err
		}
		return t.observe(w), nil
	}
	quiet := logr.Discard() // the state of the watch is shown to people by the view's age
	cache.NewReflectorWithOptions(
		&cache.ListWatch{ListWithContextFunc: list, WatchFuncWithContext: open}, example, t,
		cache.ReflectorOptions{Name: t.resource, Logger: &quiet,
			Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 1 << 20, Cap: 2 * time.Second}},
	).RunWithContext(logr.NewContext(ctx, quiet))
}

// selector limits which objects are watched; empty strings limit nothing.
type selector struct{ label, field string }

func named(name string) selector {
	return selector{field: fields.OneTermEqualSelector("metadata.name", name).String()}
}

// observe passes a watch on and notes when it ends.
func (t *table[Row]) observe(w watch.Interface) watch.Interface {
	t.connected.Store(true)
	out := make(chan watch.Event)
	proxy := watch.NewProxyWatcher(out)
	go func() {
		defer close(out)
		defer w.Stop()
		defer t.connected.Store(false)
		for {
			select {
			case e, ok := <-w.ResultChan():
				if !ok {
					return
				}
				select {
				case out <- e:
				case <-proxy.StopChan():
					return
				}
			case <-proxy.StopChan():
				return
			}
		}
	}()
	return proxy
}

// Add implements cache.ReflectorStore.
func (t *table[Row]) Add(obj any) error { return t.Update(obj) }

// Update implements cache.ReflectorStore.
func (t *table[Row]) Update(obj any) error {
	uid, row, err := t.row(obj)
	if err != nil {
		return err
	}
	t.mu.Lock()
	old, known := t.putLocked(uid, row, time.Now())
	t.mu.Unlock()
	t.tell(&old, known, &row, true)
	return nil
}

// Delete implements cache.ReflectorStore.
func (t *table[Row]) Delete(obj any) error {
	uid, _, err := t.row(obj)
	if err != nil {
		return err
	}
	t.mu.Lock()
	old, known := t.rows[uid]
	delete(t.rows, uid)
	t.last = time.Now()
	t.mu.Unlock()
	t.tell(&old.row, known, nil, false)
	return nil
}

// Replace implements cache.ReflectorStore.
func (t *table[Row]) Replace(list []any, _ string) error {
	rows := make(map[types.UID]Row, len(list))
	for _, obj := range list {
		uid, row, err := t.row(obj)
		if err != nil {
			return err
		}
		rows[uid] = row
	}
	now := time.Now()
	t.mu.Lock()
	old := maps.Clone(t.rows)
	for uid, row := range rows {
		t.putLocked(uid, row, now)
	}
	for uid := range old {
		if _, still := rows[uid]; !still {
			delete(t.rows, uid)
			t.last = now
		}
	}
	t.mu.Unlock()
	if !t.synced.Swap(true) {
		t.changed()
		return nil
	}
	for uid, row := range rows {
		before, known := old[uid]
		t.tell(&before.row, known, &row, true)
	}
	for uid, before := range old {
		if _, still := rows[uid]; !still {
			t.tell(&before.row, true, nil, false)
		}
	}
	return nil
}

// putLocked keeps a row, and when it was heard of if it differs from the one
// before, which it returns.
func (t *table[Row]) putLocked(uid types.UID, row Row, now time.Time) (old Row, known bool) {
	before, known := t.rows[uid]
	if t.rows == nil {
		t.rows = map[types.UID]stamped[Row]{}
	}
	seen := now
	if known && t.equal(&before.row, &row) {
		seen = before.seen
	} else {
		t.last = now
	}
	t.rows[uid] = stamped[Row]{row, seen}
	return before.row, known
}

// tell announces a change of one row. Most updates of nodes and leases are
// heartbeats that change nothing that is shown, and wake nobody.
func (t *table[Row]) tell(old *Row, had bool, now *Row, has bool) {
	if had == has && (!had || t.equal(old, now)) {
		return
	}
	t.changed()
	if t.moved == nil {
		return
	}
	if !had {
		old = nil
	}
	if !has {
		now = nil
	}
	t.moved(old, now)
}

func (t *table[Row]) equal(a, b *Row) bool {
	if t.same != nil {
		return t.same(a, b)
	}
	return reflect.DeepEqual(a, b)
}

// Resync implements cache.ReflectorStore; there is nothing to do.
func (t *table[Row]) Resync() error { return nil }

func (t *table[Row]) row(obj any) (types.UID, Row, error) {
	o, ok := obj.(interface {
		runtime.Object
		metav1.Object
	})
	if !ok {
		var none Row
		return "", none, fmt.Errorf("the watch of %s delivered a %T", t.resource, obj)
	}
	return o.GetUID(), t.convert(o), nil
}

// each calls f with every row and when its last change was heard of, in no order.
func (t *table[Row]) each(f func(Row, time.Time)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, r := range t.rows {
		f(r.row, r.seen)
	}
}

// changedAt is when the latest change of any row was heard of.
func (t *table[Row]) changedAt() time.Time {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// current tells whether the table follows the API server now.
func (t *table[Row]) current() bool { return t.synced.Load() && t.connected.Load() }
