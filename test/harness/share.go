package harness

import (
	"context"
	"os"
	"testing"
	"time"
)

// Share runs a package's tests with a lab that all of them use: it is booted
// before the first of them, with these arguments of zdl up, and removed after the
// last. ZDL_TEST_KEEP leaves it up, and uses one that is, for somebody who wants to
// look at it or to run one test again and again.
func Share(m *testing.M, l *Lab, up ...string) int {
	keep := os.Getenv("ZDL_TEST_KEEP") != ""
	return Main(m, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if keep && l.Join(ctx) == nil {
			return nil
		}
		return l.Up(ctx, up...)
	}, func() error {
		if keep {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := l.Down(ctx)
		return err
	})
}

// Whole is the lab, healthy and supervised. Where a test before left it otherwise,
// the first that finds out waits, and all that follow fail at once.
func (l *Lab) Whole(t testing.TB) *Lab {
	t.Helper()
	Require(t)
	if l.sick != "" {
		t.Fatalf("the lab has not been healthy since before %s", l.sick)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := l.Daemon()
	if err != nil {
		err = l.Up(ctx)
	}
	if err == nil {
		err = Until(ctx, "the cluster is healthy", 2*time.Minute, l.Healthy)
	}
	if err != nil {
		l.sick = t.Name()
		t.Fatal(err)
	}
	return l
}
