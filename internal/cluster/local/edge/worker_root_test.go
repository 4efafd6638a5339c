package edge

import (
	"sync"
	"testing"
	"time"

	"zdl/internal/topology"
)

func TestUsersOfAWorkerThatLosesPowerAreSentElsewhere(t *testing.T) {
	r := newRig(t, "ha")
	victim := r.topo.Of(topology.KindWorker)[0]
	var mu sync.Mutex
	var wg sync.WaitGroup
	failures := map[string]int{}
	slow, asked := 0, 0
	var lastSlow time.Duration
	begin := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for cut := false; time.Since(begin) < 5*time.Second; {
		<-tick.C
		if !cut && time.Since(begin) > 500*time.Millisecond {
			if err := r.f.SetLink(t.Context(), victim, false); err != nil {
				t.Fatal(err)
			}
			cut = true
		}
		asked++
		wg.Go(func() {
			at := time.Now()
			_, err := r.get(5 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failures[err.Error()]++
			}
			if time.Since(at) > 100*time.Millisecond {
				slow++
				lastSlow = time.Since(begin) - 500*time.Millisecond
			}
		})
	}
	wg.Wait()
	t.Logf("of %d requests %d were slow, the last ended %v after the cut; failed: %v", asked, slow, lastSlow, failures)
	if len(failures) > 0 {
		t.Errorf("new connections failed: %v", failures)
	}
	if lastSlow > 5*time.Second {
		t.Errorf("still slow %v after the cut", lastSlow)
	}
}
