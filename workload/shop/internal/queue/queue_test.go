package queue

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestPatienceGrowsAndEnds(t *testing.T) {
	for failures, want := range []time.Duration{100, 100, 200, 400, 800, 1600, 3000, 3000} {
		if got := Backoff(failures); got != want*time.Millisecond {
			t.Errorf("after %d failures: %s, want %d ms", failures, got, want)
		}
	}
	if got := Backoff(1 << 40); got != 3*time.Second {
		t.Errorf("after very many: %s", got)
	}
}

func TestAWrongAddressIsRefusedWithoutRepeatingIt(t *testing.T) {
	_, err := NewRabbit("http://guest:secret@host/", "x", slog.Default())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
