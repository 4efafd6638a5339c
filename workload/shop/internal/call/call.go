// Package call is how one service asks another: with a limit of time, a few
// repetitions where they are safe, and a breaker that stops asking a service that
// fails anyway.
package call

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/telemetry"
)

// IdempotencyKey is the header that makes a POST safe to repeat.
const IdempotencyKey = "Idempotency-Key"

// ErrUnavailable wraps what went wrong when a peer gave no usable answer: no
// connection, too slow, a breaker that is open, or a 5xx. Whether the peer did what
// it was asked is unknown.
var ErrUnavailable = errors.New("no usable answer")

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// Policy says how patient a caller is with one peer.
type Policy struct {
	Timeout time.Duration // for each attempt
	Retries int           // further attempts for requests that are safe to repeat
	Pause   time.Duration // before the first of them, doubled for each; a random half of it is left out
}

// Client asks one peer. It is safe for concurrent use.
type Client struct {
	Peer   string
	base   string
	policy Policy

	http      *http.Client
	telemetry *telemetry.Telemetry
	breaker   *gobreaker.CircuitBreaker[*Answer]
	budget    budget
	sleep     func(context.Context, time.Duration) error
}

// Answer is a peer's answer with its whole body.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
}

// Request is what to ask.
type Request struct {
	Method, Path string // Path with query
	Header       http.Header
	Body         []byte
}

// NewTransport makes the connections that all clients of a service share.
func NewTransport() *http.Transport {
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: time.Second, KeepAlive: 15 * time.Second}).DialContext,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       30 * time.Second, // shorter than a server keeps them
		ResponseHeaderTimeout: 10 * time.Second,
		ReadBufferSize:        4 << 10,
		WriteBufferSize:       4 << 10,
	}
}

// Gauges are the metrics of breakers; one per service.
type Gauges struct{ state *prometheus.GaugeVec }

// NewGauges makes them.
func NewGauges(r prometheus.Registerer) Gauges {
	g := Gauges{prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shop_breaker_state", Help: "Circuit breaker: 0 closed, 1 half open, 2 open."}, []string{"peer"})}
	r.MustRegister(g.state)
	return g
}

// New makes a client of the peer at base, such as http://catalogue:8080.
func New(t *telemetry.Telemetry, g Gauges, transport http.RoundTripper, peer, base string, policy Policy) *Client {
	c := &Client{Peer: peer, base: strings.TrimSuffix(base, "/"), policy: policy, telemetry: t, sleep: sleep,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	g.state.WithLabelValues(peer).Set(0)
	c.breaker = gobreaker.NewCircuitBreaker[*Answer](breaker(peer, func(to gobreaker.State) {
		g.state.WithLabelValues(peer).Set(float64(to))
		t.Log.Warn("breaker", "peer", peer, "state", to.String())
	}))
	return c
}

// breaker opens after ten failures in a row, or when half of at least twenty
// requests within ten seconds failed; tries again after two seconds, with one
// request at a time, and closes after three that went well.
func breaker(peer string, changed func(gobreaker.State)) gobreaker.Settings {
	return gobreaker.Settings{
		Name: peer, MaxRequests: 3, Interval: 10 * time.Second, BucketPeriod: time.Second, Timeout: 2 * time.Second,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			return n.ConsecutiveFailures >= 10 || n.Requests >= 20 && 2*n.TotalFailures >= n.Requests
		},
		// A caller that went away says nothing about the peer.
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, to gobreaker.State) { changed(to) },
	}
}

// Do asks, and repeats what is safe to repeat. Codes below 500 are answers;
// everything else is an error that wraps ErrUnavailable.
func (c *Client) Do(ctx context.Context, q Request) (*Answer, error) {
	c.budget.deposit()
	var last error
	for attempt := 0; ; attempt++ {
		answer, err := c.breaker.Execute(func() (*Answer, error) { return c.once(ctx, q) })
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask %s: %w: %w", c.Peer, ErrUnavailable, ctx.Err())
		}
		if last = err; errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
			break
		}
		if attempt == c.policy.Retries || !Repeatable(q) || !c.budget.withdraw() {
			break
		}
		pause := c.policy.Pause << attempt
		if c.sleep(ctx, pause/2+rand.N(pause/2+1)) != nil {
			break
		}
	}
	return nil, fmt.Errorf("ask %s: %w: %w", c.Peer, ErrUnavailable, last)
}

// Repeatable tells whether asking twice is the same as asking once (RFC 9110,
// section 9.2.2), by its method or because it has a key.
func Repeatable(q Request) bool {
	switch q.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return true
	}
	return q.Header.Get(IdempotencyKey) != ""
}

func (c *Client) once(ctx context.Context, q Request) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.policy.Timeout)
	defer cancel()
	header := q.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	var answer *Answer
	err := c.telemetry.Call(ctx, c.Peer, q.Method+" "+c.Peer, header, func(ctx context.Context) (int, error) {
		r, err := http.NewRequestWithContext(ctx, q.Method, c.base+q.Path, bytes.NewReader(q.Body))
		if err != nil {
			return 0, err
		}
		r.Header = header
		res, err := c.http.Do(r)
		if err != nil {
			return 0, err
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
		if err != nil {
			return 0, err
		}
		if len(body) > maxAnswer {
			return 0, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
		}
		answer = &Answer{Code: res.StatusCode, Header: res.Header, Body: body}
		return res.StatusCode, nil
	})
	if err != nil {
		return nil, err
	}
	if answer.Code >= 500 {
		return nil, fmt.Errorf("%d: %s", answer.Code, said(answer.Body))
	}
	return answer, nil
}

// Get asks for JSON.
func (c *Client) Get(ctx context.Context, path string, into any) (*Answer, error) {
	return c.Exchange(ctx, Request{Method: http.MethodGet, Path: path}, into)
}

// Exchange asks with a value and for a value; both may be left out. A code of 400
// and above is a *serve.Refusal with the peer's own sentence.
func (c *Client) Exchange(ctx context.Context, q Request, into any) (*Answer, error) {
	answer, err := c.Do(ctx, q)
	if err != nil {
		return nil, err
	}
	if answer.Code >= 400 {
		return answer, &serve.Refusal{Code: answer.Code, Sentence: said(answer.Body)}
	}
	if into != nil {
		if err := json.Unmarshal(answer.Body, into); err != nil {
			return answer, fmt.Errorf("ask %s: %w: %w", c.Peer, ErrUnavailable, err)
		}
	}
	return answer, nil
}

// JSON is a request with a value.
func JSON(method, path string, value any) Request {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // only our own plain types are sent
	}
	return Request{Method: method, Path: path, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// said is the sentence in an answer other than success.
func said(body []byte) string {
	var v struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &v) == nil && v.Error != "" && len(v.Error) < 500 {
		return v.Error
	}
	return "The service refused the request."
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
