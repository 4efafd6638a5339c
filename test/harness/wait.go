package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Until asks ok again and again until it is content, and otherwise returns an
// error with what it said last.
func Until(ctx context.Context, what string, limit time.Duration, ok func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "context deadline") {
			last = err // what is said when the time is over is only about that
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %s; last: %w", limit, what, last)
		case <-ticker.C:
		}
	}
}

// Eventually waits until ok is content, and fails the test with what it said
// last.
func Eventually(t testing.TB, what string, limit time.Duration, ok func(context.Context) error) {
	t.Helper()
	if err := Until(t.Context(), what, limit, ok); err != nil {
		t.Fatal(err)
	}
}
