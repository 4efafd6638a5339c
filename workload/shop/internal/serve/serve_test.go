package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"zdl/workload/shop/internal/telemetry"
)

func service(t testing.TB) *Service {
	t.Helper()
	tel, err := telemetry.New(context.Background(), telemetry.Identity{Service: "cart", Pod: "cart-0"}, io.Discard, slog.LevelError, false)
	if err != nil {
		t.Fatal(err)
	}
	return New(tel)
}

func ask(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func wait(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestAStoreThatIsDownIsSaidButTakesNoReplicaOut(t *testing.T) {
	s := service(t)
	d := s.Health.Need("redis")
	if code, body := ask(s.Admin(), "/readyz"); code != 503 || body != "starting\n" {
		t.Errorf("at first: %d %q", code, body)
	}
	d.Note(t.Context(), errors.New("connection refused\nby the host"))
	if code, body := ask(s.Admin(), "/readyz?verbose"); code != 200 || !strings.Contains(body, "[-] redis: down for 0s: connection refused by the host\n") {
		t.Errorf("down: %d %q", code, body)
	}
	if _, body := ask(s.Admin(), "/metrics"); !strings.Contains(body, `shop_dependency_up{dependency="redis",service="cart"} 0`) {
		t.Error("the metric does not say down")
	}
	d.Note(t.Context(), nil)
	if _, body := ask(s.Admin(), "/metrics"); !strings.Contains(body, `shop_dependency_up{dependency="redis",service="cart"} 1`) || !d.Up() {
		t.Error("the metric does not say up")
	}
	s.Health.Drain()
	if code, body := ask(s.Admin(), "/readyz"); code != 503 || body != "draining\n" {
		t.Errorf("draining: %d %q", code, body)
	}
	if code, _ := ask(s.Admin(), "/livez"); code != 200 {
		t.Errorf("a draining process is said to be dead: %d", code)
	}
}

func TestAStoreThatComesLateIsSetUpOnce(t *testing.T) {
	s := service(t)
	var mu sync.Mutex
	var said []string
	answers := map[string]int{}
	do := func(what string, failures int) func(context.Context) error {
		return func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, what)
			if answers[what]++; answers[what] <= failures {
				return errors.New("not there")
			}
			return nil
		}
	}
	d := s.Keep("mongo", do("setup", 1), do("check", 0))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Work[0](ctx) }()
	wait(t, "it is up", d.Up)
	stop()
	<-done
	if len(said) != 2 || said[0] != "setup" || said[1] != "setup" {
		t.Errorf("asked %v", said)
	}
}

// TestNoRequestIsLostAtShutdown plays clients that stop only when they hear that
// the replica is not ready any more.
func TestNoRequestIsLostAtShutdown(t *testing.T) {
	s := service(t)
	s.Router.Handle("POST /work", func(w http.ResponseWriter, _ *http.Request) error { return JSON(w, 201, "done") })
	ended := false
	s.Work = append(s.Work, func(ctx context.Context) { <-ctx.Done(); ended = true })
	api, admin := listen(t), listen(t)
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx, api, admin, 300*time.Millisecond, 5*time.Second) }()

	leaving := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		clients.Go(func() {
			for {
				select {
				case <-leaving:
					return
				default:
				}
				// A POST without a body that can be sent again: Go repeats nothing silently.
				res, err := client.Post("http://"+api.Addr().String()+"/work", "text/plain", io.MultiReader(strings.NewReader("x")))
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				_ = res.Body.Close()
				if res.StatusCode != 201 {
					t.Errorf("answered %d", res.StatusCode)
				}
			}
		})
	}
	ready := func() int {
		res, err := http.Get("http://" + admin.Addr().String() + "/readyz")
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	wait(t, "it is ready", func() bool { return ready() == 200 })
	stop()
	wait(t, "it says that it leaves", func() bool { return ready() == 503 })
	close(leaving)
	clients.Wait()
	if err := <-result; err != nil || !ended {
		t.Errorf("%v; the background work ended: %v", err, ended)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAPanicIsOneAnswerNotTheEnd(t *testing.T) {
	s := service(t)
	s.Router.Handle("GET /panic", func(http.ResponseWriter, *http.Request) error { panic("secret") })
	if code, body := ask(s.API(), "/panic"); code != 500 || strings.Contains(body, "secret") {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask(s.API(), "/none"); code != 404 || !strings.Contains(body, "nothing at this address") {
		t.Errorf("%d %s", code, body)
	}
}

func TestStrangersCannotFillTheMetrics(t *testing.T) {
	s := service(t)
	for i := range 50 {
		r := httptest.NewRequest("X"+strings.Repeat("Y", i), "/a/"+strings.Repeat("b", i), http.NoBody)
		r.Header.Set(telemetry.Peer, strings.Repeat("z", i+1))
		s.API().ServeHTTP(httptest.NewRecorder(), r)
	}
	_, body := ask(s.Admin(), "/metrics")
	if n := strings.Count(body, "http_requests_total{"); n != 1 {
		t.Errorf("%d series of requests", n)
	}
}

func TestAnAgeIsSaidInWholeSecondsAndNeverZero(t *testing.T) {
	for age, want := range map[time.Duration]string{0: "", time.Millisecond: "1", time.Second: "1", 2900 * time.Millisecond: "2", time.Hour: "3600"} {
		w := httptest.NewRecorder()
		f := Aged(w, age)
		if got := w.Header().Get("Age"); got != want || f.Stale != (want != "") {
			t.Errorf("%s: Age %q, %+v", age, got, f)
		}
	}
}

// FuzzDecode: whatever comes, it is read as what it is or refused with a 4xx.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"quantity":1}`, `{"quantity":-1e99}`, `{"quantity":1}x`, `{"x":1}`, "{\"\xff\":1}", `[`, ``, `null`, `{"quantity":{}}`, `{"\u0000\n":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		var into struct {
			Quantity *int `json:"quantity"`
		}
		err := Decode(httptest.NewRecorder(), r, &into)
		if err == nil {
			return
		}
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Code < 400 || refusal.Code > 499 || strings.ContainsAny(refusal.Sentence, "\n\x00") || !strings.HasSuffix(refusal.Sentence, ".") {
			t.Errorf("%q: %v", body, err)
		}
	})
}
