package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Plan is a whole run: what is requested, how often, and what is expected.
type Plan struct {
	Title    string
	Journeys []Journey
	// Open is an open-loop schedule of iterations; its Stages are empty for a
	// closed loop.
	Open Schedule
	// Closed is a closed-loop schedule of virtual users: the "rate" of its stages
	// is their number.
	Closed     Schedule
	Thresholds []Threshold

	// MaxUsers bounds how many iterations of an open loop may be under way at
	// once; one that is due beyond that is dropped. Default 10,000.
	MaxUsers int
	// Timeout of each request, from its sending; default 10 s, 1 ms to 10 min.
	Timeout time.Duration
	// NewConnections opens one for each request; else each user keeps its own.
	NewConnections bool
	// Insecure accepts any certificate of an https server.
	Insecure bool
	Dial     Dial   // default: from this machine
	Seed     uint64 // of journeys by weight, think times and Poisson arrivals
	// KeepSamples is how many requests are kept one by one, at most; 0: none.
	KeepSamples int
}

// Journey is what a user does, step by step.
type Journey struct {
	Name   string
	Weight float64 // share among journeys, more than 0; default 1
	Steps  []Step
}

// Step is one request of a journey. In URL, Headers and Body, {{NAME}} stands for
// a value that an earlier step took, {{iteration}} for the number of the
// iteration, {{random}} for 16 hexadecimal digits.
type Step struct {
	Name    string
	Method  string // default GET, or POST with a body
	URL     string // http:// or https://
	Headers http.Header
	Body    string
	Checks  []Check
	Take    []Take
	Think   Think // pause after it
	// NewConnection opens one for this step's requests, whatever the plan says.
	NewConnection bool
}

// Think is a pause of a user, evenly distributed from Min to Max.
type Think struct{ Min, Max time.Duration }

// Check is a condition on an answer. An answer that fails one counts in the metric
// checks, and, like any user would see it, as a failed request.
type Check struct {
	Status   []int  // the status is one of these
	Contains string // the body contains it
	Header   string // there is such a header
}

// Take keeps something of an answer under a name for the following steps: the
// value at a JSON path ("items.0.id"), or of a header.
type Take struct {
	Name   string
	JSON   string
	Header string
}

// Defaults and bounds.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultMaxUsers = 10_000
	MaxUsers        = 100_000
)

// Check fills in defaults and says what is wrong with a plan, or nil.
func (p *Plan) Check() error {
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.MaxUsers == 0 {
		p.MaxUsers = DefaultMaxUsers
	}
	open, closed := len(p.Open.Stages) > 0, len(p.Closed.Stages) > 0
	switch {
	case p.Timeout < time.Millisecond || p.Timeout > 10*time.Minute:
		return fmt.Errorf("timeout %v: want 1ms to 10m", p.Timeout)
	case p.MaxUsers < 1 || p.MaxUsers > MaxUsers:
		return fmt.Errorf("at most %d users at once: want 1 to %d", p.MaxUsers, MaxUsers)
	case open == closed:
		return errors.New("want either arrivals (open loop) or users (closed loop)")
	case len(p.Journeys) == 0:
		return errors.New("there is no journey, so nothing would be requested")
	}
	if open {
		if err := p.Open.Check(); err != nil {
			return fmt.Errorf("arrivals: %w", err)
		}
	} else {
		if err := p.Closed.Check(); err != nil {
			return fmt.Errorf("users: %w", err)
		}
		for _, st := range p.Closed.Stages {
			if max(st.From, st.To) > float64(p.MaxUsers) {
				return fmt.Errorf("users: %g at once: want at most %d", max(st.From, st.To), p.MaxUsers)
			}
		}
	}
	names := map[string]bool{}
	for i := range p.Journeys {
		if err := p.Journeys[i].check(names); err != nil {
			return err
		}
	}
	for _, t := range p.Thresholds {
		if _, step, ok := strings.Cut(t.Metric, "{step:"); ok && !names[strings.TrimSuffix(step, "}")] {
			return fmt.Errorf("threshold %v: there is no step of that name", t.String())
		}
	}
	return nil
}

func (j *Journey) check(names map[string]bool) error {
	if j.Weight == 0 {
		j.Weight = 1
	}
	if !(j.Weight > 0 && j.Weight < 1e9) {
		return fmt.Errorf("journey %q: weight %g: want more than 0", j.Name, j.Weight)
	}
	if len(j.Steps) == 0 {
		return fmt.Errorf("journey %q has no steps", j.Name)
	}
	known := map[string]bool{"iteration": true, "random": true}
	for i := range j.Steps {
		s := &j.Steps[i]
		if s.Name == "" {
			s.Name = fmt.Sprintf("%d", i+1)
			if j.Name != "" {
				s.Name = j.Name + "-" + s.Name
			}
		}
		if names[s.Name] {
			return fmt.Errorf("two steps are called %q: give each a name of its own", s.Name)
		}
		names[s.Name] = true
		if err := s.check(known); err != nil {
			return fmt.Errorf("step %q: %w", s.Name, err)
		}
	}
	return nil
}

func (s *Step) check(known map[string]bool) error {
	if s.Method == "" {
		s.Method = http.MethodGet
		if s.Body != "" {
			s.Method = http.MethodPost
		}
	}
	if strings.ContainsAny(s.Method, " \r\n\t") {
		return fmt.Errorf("method %q is not one", s.Method)
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("url %q: want an address like http://198.18.0.100/path", s.URL)
	}
	if strings.Contains(u.Host, "{{") {
		return fmt.Errorf("url %q: the host cannot be taken from an answer", s.URL)
	}
	for name, values := range s.Headers {
		for _, v := range values {
			if strings.ContainsAny(name, " :\r\n") || strings.ContainsAny(v, "\r\n") {
				return fmt.Errorf("header %q: %q is not allowed", name, v)
			}
		}
	}
	for _, text := range append([]string{s.URL, s.Body}, values(s.Headers)...) {
		for _, name := range placeholders(text) {
			if !known[name] {
				return fmt.Errorf("{{%s}} is not known here: an earlier step of the journey must take it", name)
			}
		}
	}
	for _, t := range s.Take {
		if t.Name == "" || (t.JSON == "") == (t.Header == "") {
			return errors.New("take: want a name, and either json or header")
		}
		known[t.Name] = true
	}
	if s.Think.Min < 0 || s.Think.Max < s.Think.Min {
		return fmt.Errorf("think from %v to %v: want 0 or more, the smaller first", s.Think.Min, s.Think.Max)
	}
	return nil
}

func values(h http.Header) []string {
	var out []string
	for _, v := range h {
		out = append(out, v...)
	}
	return out
}

// Resolve looks up the hosts of all URLs, so that a name that does not exist is an
// error before anything is sent. Plans with a Dial of their own are taken to know.
func (p *Plan) Resolve(ctx context.Context) error {
	if p.Dial != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	seen := map[string]bool{}
	for i := range p.Journeys {
		for k := range p.Journeys[i].Steps {
			u, err := url.Parse(p.Journeys[i].Steps[k].URL)
			if err != nil || seen[u.Hostname()] {
				continue // Check complains about the first
			}
			seen[u.Hostname()] = true
			if _, err := net.DefaultResolver.LookupHost(ctx, u.Hostname()); err != nil {
				return fmt.Errorf("url %q: the host %q does not resolve (%v); nothing was sent", p.Journeys[i].Steps[k].URL, u.Hostname(), lookupText(err))
			}
		}
	}
	return nil
}

// lookupText is what a failed lookup says, without the server that was asked.
func lookupText(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Err
	}
	return err.Error()
}

// placeholders lists the names between {{ and }}.
func placeholders(text string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(text, "{{")
		if !ok {
			return out
		}
		name, after, ok := strings.Cut(rest, "}}")
		if !ok {
			return out
		}
		out, text = append(out, strings.TrimSpace(name)), after
	}
}

func (p *Plan) tls(host string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: p.Insecure, NextProtos: []string{"http/1.1"}}
}
