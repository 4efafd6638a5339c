package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"

	"zdl/internal/fault"
	"zdl/internal/lab"
	"zdl/test/harness"
)

// measured are faults of each class, with the goal for p99 in milliseconds; 0:
// one round trip to the API server, which is told and not judged.
var measured = []struct {
	class   string
	request fault.Request
	runs    int
	goal    float64
}{
	{"process", fault.Request{Kind: "pod-freeze", Target: "any"}, 200, 20},
	{"power", fault.Request{Kind: "node-power-off", Target: "lb-2"}, 50, 20},
	{"link", fault.Request{Kind: "node-link-down", Target: "worker-3"}, 200, 20},
	{"partition", fault.Request{Kind: "zone-isolate", Target: "zone-c"}, 200, 20},
	// The proof is an echo that takes as long as the delay: with a short one it is the
	// engine that is measured.
	{"shaping", fault.Request{Kind: "node-network-delay", Target: "worker-3", Params: map[string]string{"latency": "10ms"}}, 200, 50},
	{"object", fault.Request{Kind: "node-cordon", Target: "worker-3"}, 200, 0},
}

// faults measures how long it takes from the call until a fault is proven, and
// from the order to heal until it is undone, as the engine's journal has it.
func (b *bench) faults(ctx context.Context) error {
	l, err := b.haLab(ctx)
	if err != nil {
		return err
	}
	client, err := lab.Connect(l.Dirs(), l.Name)
	if err != nil {
		return err
	}
	for _, m := range measured {
		if err := harness.Until(ctx, "the lab is healthy", patience, l.Healthy); err != nil {
			return err
		}
		var made, undone []float64
		for range m.runs {
			var a fault.Attack
			if err := client.Do(ctx, http.MethodPost, "/api/v1/attacks", m.request, &a); err != nil {
				return fmt.Errorf("%s: %w", m.request.Kind, err)
			}
			made = append(made, a.VerifyMS)
			if err := client.Do(ctx, http.MethodPost, "/api/v1/attacks/"+a.ID+"/heal", struct{}{}, &a); err != nil {
				return fmt.Errorf("heal %s: %w", m.request.Kind, err)
			}
			if len(a.Residue) > 0 {
				return fmt.Errorf("%s left behind: %q", m.request.Kind, a.Residue)
			}
			undone = append(undone, a.UndoMS)
		}
		for _, x := range []struct {
			what   string
			values []float64
		}{{"call to verified", made}, {"undo", undone}} {
			note := fmt.Sprintf("%s; p50 %.1f ms, %d runs", m.request.Kind, percentile(x.values, 50), m.runs)
			b.report.add(fmt.Sprintf("%s fault: %s, p99", m.class, x.what), "ha", "ms", m.goal, note, percentile(x.values, 99))
		}
	}
	return nil
}

// percentile is the smallest value that p percent are not above (nearest rank).
func percentile(values []float64, p float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return v[max(0, int(math.Ceil(float64(len(v))*p/100))-1)]
}
