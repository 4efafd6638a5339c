package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// trialManager is the field manager of what only tries out how the API server
// behaves. Unlike ObjectManager no fault spares it.
const trialManager = "zdl-trial"

// Hang is a creation that must not be answered at once.
type Hang struct {
	Ref
	Manifest json.RawMessage `json:"manifest"`
	// AtLeast is how long it must have waited, in nanoseconds.
	AtLeast time.Duration `json:"atLeast"`
}

// hangs proves that a creation waits, with a dry run that is given up as soon
// as it has waited long enough.
func (w *World) hangs(ctx context.Context, namespace string, h *Hang) (string, error) {
	inTime, cancel := context.WithTimeout(ctx, h.AtLeast)
	defer cancel()
	begin := time.Now()
	err := w.make(inTime, h.Ref, h.Manifest, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: trialManager})
	waited := time.Since(begin)
	what := fmt.Sprintf("a dry-run create of a %s in %s", h.Kind, h.Namespace)
	switch {
	case waited >= h.AtLeast:
		return fmt.Sprintf("%s was not answered within %d ms", what, waited.Milliseconds()), nil
	case err == nil:
		return "", fmt.Errorf("%s was answered after %d ms", what, waited.Milliseconds())
	case apierrors.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("%s ended too early, after %d ms: %w", what, waited.Milliseconds(), err)
	}
	return "", fmt.Errorf("%s failed after %d ms: %w", what, waited.Milliseconds(), err)
}
