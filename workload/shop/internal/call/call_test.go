package call

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/telemetry"
)

// peer is a server that answers with codes in turn, the last one for ever.
func peer(t *testing.T, codes ...int) (*Client, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1)) - 1
		code := codes[min(n, len(codes)-1)]
		if r.Header.Get(telemetry.Peer) != "web" || r.Header.Get("Traceparent") == "" {
			t.Errorf("the caller or the trace is not said: %v", r.Header)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"error":"One sentence."}`)
	}))
	t.Cleanup(server.Close)
	tel, err := telemetry.New(t.Context(), telemetry.Identity{Service: "web"}, io.Discard, slog.LevelError, false)
	if err != nil {
		t.Fatal(err)
	}
	c := New(tel, NewGauges(tel.Registry), NewTransport(), "cart", server.URL, Policy{Timeout: 5 * time.Second, Retries: 2, Pause: time.Millisecond})
	return c, &asked
}

func TestOnlyWhatIsSafeIsRepeated(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		key    string
		asked  int64
	}{
		{"a read", http.MethodGet, "", 3},
		{"a put", http.MethodPut, "", 3},
		{"a deletion", http.MethodDelete, "", 3},
		{"a post", http.MethodPost, "", 1},
		{"a post with a key", http.MethodPost, "key-1234", 3},
		{"a patch", http.MethodPatch, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, asked := peer(t, 503)
			header := http.Header{}
			if c.key != "" {
				header.Set(IdempotencyKey, c.key)
			}
			_, err := client.Do(t.Context(), Request{Method: c.method, Path: "/", Header: header})
			if !errors.Is(err, ErrUnavailable) || asked.Load() != c.asked {
				t.Errorf("asked %d times, want %d: %v", asked.Load(), c.asked, err)
			}
		})
	}
}

func TestARepetitionSavesARead(t *testing.T) {
	client, asked := peer(t, 502, 200)
	if a, err := client.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err != nil || a.Code != 200 || asked.Load() != 2 {
		t.Errorf("%+v, %v after %d", a, err, asked.Load())
	}
}

func TestARefusalIsAnAnswer(t *testing.T) {
	client, asked := peer(t, 409)
	_, err := client.Get(t.Context(), "/", nil)
	var refusal *serve.Refusal
	if !errors.As(err, &refusal) || refusal.Code != 409 || refusal.Sentence != "One sentence." || asked.Load() != 1 || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v after %d", err, asked.Load())
	}
}

func TestABreakerStopsAskingAndTriesAgain(t *testing.T) {
	client, asked := peer(t, 503)
	for range 30 {
		_, _ = client.Do(t.Context(), Request{Method: http.MethodPost, Path: "/"})
	}
	if n := asked.Load(); n != 10 {
		t.Errorf("asked %d times, want 10 before the breaker opens", n)
	}
	_, err := client.Do(t.Context(), Request{Method: http.MethodGet, Path: "/"})
	if !errors.Is(err, gobreaker.ErrOpenState) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// TestABreakersPolicy plays counts instead of time.
func TestABreakersPolicy(t *testing.T) {
	trips := breaker("cart", func(gobreaker.State) {}).ReadyToTrip
	for _, c := range []struct {
		requests, failures, inARow uint32
		want                       bool
	}{
		{9, 9, 9, false}, {10, 10, 10, true}, {19, 19, 1, false}, {20, 10, 1, true}, {20, 9, 5, false}, {1000, 499, 2, false}, {1000, 500, 1, true},
	} {
		if got := trips(gobreaker.Counts{Requests: c.requests, TotalFailures: c.failures, ConsecutiveFailures: c.inARow}); got != c.want {
			t.Errorf("%d of %d failed, %d in a row: trips %v", c.failures, c.requests, c.inARow, got)
		}
	}
}

func TestACallerThatLeavesIsNoFailureOfThePeer(t *testing.T) {
	client, _ := peer(t, 200)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 30 {
		if _, err := client.Do(gone, Request{Method: http.MethodGet, Path: "/"}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := client.Get(t.Context(), "/", nil); err != nil {
		t.Errorf("the breaker opened: %v", err)
	}
}

func TestRepetitionsHaveABudget(t *testing.T) {
	var b budget
	granted := 0
	for range 100 {
		b.deposit()
		if b.withdraw() {
			granted++
		}
	}
	if granted < 20 || granted > 35 {
		t.Errorf("%d of 100 failing requests were repeated, want about 10 and a fifth", granted)
	}
	for range 10_000 {
		b.deposit()
	}
	for granted = 0; b.withdraw(); granted++ {
	}
	if granted != 100 {
		t.Errorf("%d repetitions were saved up, want 100", granted)
	}
}

func TestASlowPeerIsGivenUp(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer server.Close()
	defer close(hold)
	tel, err := telemetry.New(t.Context(), telemetry.Identity{Service: "web"}, io.Discard, slog.LevelError, false)
	if err != nil {
		t.Fatal(err)
	}
	c := New(tel, NewGauges(tel.Registry), NewTransport(), "cart", server.URL, Policy{Timeout: 20 * time.Millisecond})
	if _, err := c.Get(t.Context(), "/", nil); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
