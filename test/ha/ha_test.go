// Package ha holds what must be true of the highly available lab: each test
// proves one behaviour on a real cluster that all of them share. Tests that
// break something wait until it is whole again.
package ha

import (
	"context"
	"os"
	"testing"
	"time"

	"zdl/internal/labfile"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// theLab is shared by the tests of this package. It runs with the fast timings,
// so that what Kubernetes notices late is noticed within seconds.
var theLab = harness.New("t-ha")

var (
	workers       = names(topology.KindWorker)
	controlPlanes = names(topology.KindControlPlane)
	loadBalancers = names(topology.KindEdge)
)

// keep leaves the lab up, for somebody who wants to look at it or to run one
// test again and again.
var keep = os.Getenv("ZDL_TEST_KEEP") != ""

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if keep && theLab.Join(ctx) == nil {
			return nil
		}
		return theLab.Up(ctx, "--profile", "ha", "--timing", "fast")
	}, func() error {
		if keep {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := theLab.Down(ctx)
		return err
	}))
}

// lab is the shared lab, healthy and supervised. Where a test before left it
// otherwise, the first that finds out waits, and all that follow fail at once.
func lab(t *testing.T) *harness.Lab {
	t.Helper()
	harness.Require(t)
	if sick != "" {
		t.Fatalf("the lab has not been healthy since before %s", sick)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := theLab.Daemon()
	if err != nil {
		err = theLab.Up(ctx)
	}
	if err == nil {
		err = harness.Until(ctx, "the cluster is healthy", 2*time.Minute, theLab.Healthy)
	}
	if err != nil {
		sick = t.Name()
		t.Fatal(err)
	}
	return theLab
}

// sick is the first test that found the lab broken.
var sick string

// shape is the wiring of the profile.
func shape() *topology.Topology {
	l, err := labfile.Profile("ha")
	if err != nil {
		panic(err) // a profile of this program
	}
	return topology.New(l)
}

func names(kind topology.Kind) []string {
	var out []string
	for _, m := range shape().Of(kind) {
		out = append(out, m.Name)
	}
	return out
}
