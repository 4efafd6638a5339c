package harness

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Writes is a measurement of whether the cluster's state can be changed: one
// write through the API's virtual IP every 50 ms, each on a connection of its
// own, whatever became of those before.
type Writes struct {
	client kubernetes.Interface
	name   string
	stop   func()

	mu    sync.Mutex
	wrote []write
}

type write struct {
	begin, end time.Time
	err        error
}

const (
	writeEvery = 50 * time.Millisecond
	writeLimit = 2 * time.Second
)

// Writes starts the measurement and returns once a write succeeded.
func (l *Lab) Writes(ctx context.Context) (*Writes, error) {
	w := &Writes{client: l.Client, name: "zdl-test-writes"}
	maps := w.client.CoreV1().ConfigMaps("default")
	_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: w.name}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("begin to write: %w", err)
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { w.run(runCtx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = maps.Delete(ctx, w.name, metav1.DeleteOptions{})
	})
	return w, nil
}

// Stop ends the measurement; it can be repeated.
func (w *Writes) Stop() { w.stop() }

func (w *Writes) run(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		under.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, writeLimit)
			defer cancel()
			begin := time.Now()
			patch := []byte(`{"data":{"n":` + strconv.Quote(strconv.Itoa(n)) + `}}`)
			_, err := w.client.CoreV1().ConfigMaps("default").Patch(ctx, w.name, types.MergePatchType, patch, metav1.PatchOptions{})
			w.mu.Lock()
			defer w.mu.Unlock()
			w.wrote = append(w.wrote, write{begin, time.Now(), err})
		})
	}
}

// Gap is the longest time after since in which no write succeeded: from the
// end of one that did to the end of the next. A gap that is still open counts
// up to now.
func (w *Writes) Gap(since time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ends []time.Time
	for _, x := range w.wrote {
		if x.err == nil && x.end.After(since) {
			ends = append(ends, x.end)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	last, longest := since, time.Duration(0)
	for _, end := range append(ends, time.Now()) {
		longest = max(longest, end.Sub(last))
		last = end
	}
	return longest
}

// Succeeded counts the writes that were begun after since and succeeded.
func (w *Writes) Succeeded(since time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, x := range w.wrote {
		if x.err == nil && x.begin.After(since) {
			n++
		}
	}
	return n
}

// Trouble is what the latest failed write was told, for people.
func (w *Writes) Trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range slices.Backward(w.wrote) {
		if x.err != nil {
			return x.err
		}
	}
	return nil
}
