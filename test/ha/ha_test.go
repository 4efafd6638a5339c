// Package ha holds what must be true of the highly available lab: each test
// proves one behaviour on a real cluster that all of them share. Tests that
// break something wait until it is whole again.
package ha

import (
	"os"
	"testing"

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

func TestMain(m *testing.M) {
	os.Exit(harness.Share(m, theLab, "--profile", "ha", "--timing", "fast"))
}

// lab is the shared lab, whole.
func lab(t *testing.T) *harness.Lab {
	t.Helper()
	return theLab.Whole(t)
}

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
