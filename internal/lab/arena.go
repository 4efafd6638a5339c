package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// throughFaults is a cluster whose pods are deleted by the fault engine, so that
// what visitors kill is in the journal and proven like every other fault.
type throughFaults struct {
	cluster.Cluster
	faults *fault.Engine
}

// DeletePod implements cluster.Cluster.
func (c throughFaults) DeletePod(ctx context.Context, namespace, name, uid string, grace time.Duration) error {
	_, err := c.faults.Attack(ctx, fault.Request{Kind: "pod-kill", Target: namespace + "/" + uid, By: "arena",
		Params: map[string]string{"grace": grace.String()}})
	var refused *fault.Error
	if !errors.As(err, &refused) {
		return err
	}
	snap := c.Snapshot()
	switch p := snap.TargetPod(uid); {
	case p == nil || !p.Alive():
		return fmt.Errorf("delete pod %s: %w", name, cluster.ErrGone)
	case p.Phase != "Running": // no fault of running pods; there is nothing to prove
		return c.Cluster.DeletePod(ctx, namespace, name, uid, grace)
	}
	return err
}
