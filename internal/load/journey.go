package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// prepared is a step ready to be sent.
type prepared struct {
	*Step
	index  int    // among all steps of the plan
	addr   string // host:port
	host   string // without port
	secure bool
	static []byte // the whole request, when it is the same each time
	keep   bool   // whether body and head of the answer are looked at
	fresh  bool   // a new connection for each request
}

func prepare(s *Step, index int, newConnections bool) prepared {
	u, _ := url.Parse(s.URL) // checked
	p := prepared{Step: s, index: index, host: u.Hostname(), secure: u.Scheme == "https", fresh: newConnections}
	port := u.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[p.secure]
	}
	p.addr = u.Hostname() + ":" + port
	if strings.Contains(u.Hostname(), ":") {
		p.addr = "[" + u.Hostname() + "]:" + port
	}
	p.keep = len(s.Take) > 0 || slices.ContainsFunc(s.Checks, func(c Check) bool { return c.Contains != "" || c.Header != "" })
	dynamic := len(placeholders(s.URL))+len(placeholders(s.Body)) > 0
	for _, v := range values(s.Headers) {
		dynamic = dynamic || len(placeholders(v)) > 0
	}
	if !dynamic {
		p.static = p.render(nil, newConnections)
	}
	return p
}

// render writes the request; vars fill its placeholders.
func (p *prepared) render(vars func(name string) string, newConnections bool) []byte {
	fill := func(text string, escape func(string) string) string {
		if vars == nil || !strings.Contains(text, "{{") {
			return text
		}
		var b strings.Builder
		for {
			before, rest, ok := strings.Cut(text, "{{")
			name, after, closed := strings.Cut(rest, "}}")
			if !ok || !closed {
				b.WriteString(text)
				return b.String()
			}
			b.WriteString(before)
			b.WriteString(escape(vars(strings.TrimSpace(name))))
			text = after
		}
	}
	same := func(s string) string { return s }
	// The path is what follows the host, as it was written: parsing it would
	// encode the braces of placeholders.
	rest := p.URL[strings.Index(p.URL, "://")+3:]
	path := "/"
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		path, _, _ = strings.Cut(rest[at:], "#")
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", p.Method, strings.ReplaceAll(fill(path, url.QueryEscape), " ", "%20"))
	u, _ := url.Parse(p.URL)
	host := u.Host
	if h := p.Headers.Get("Host"); h != "" {
		host = fill(h, header)
	}
	fmt.Fprintf(&b, "Host: %s\r\n", host)
	if p.Headers.Get("User-Agent") == "" {
		b.WriteString("User-Agent: zdl-load\r\n")
	}
	if newConnections {
		b.WriteString("Connection: close\r\n")
	}
	names := make([]string, 0, len(p.Headers))
	for name := range p.Headers {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if name = http.CanonicalHeaderKey(name); name == "Host" || name == "Content-Length" || name == "Connection" {
			continue
		}
		for _, v := range p.Headers.Values(name) {
			fmt.Fprintf(&b, "%s: %s\r\n", name, fill(v, header))
		}
	}
	body := fill(p.Body, same)
	if body != "" || p.Method == http.MethodPost || p.Method == http.MethodPut || p.Method == http.MethodPatch {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	return b.Bytes()
}

// header keeps a value of an answer from becoming a header of its own.
func header(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// passes tells whether an answer meets the checks; without any, whether its
// status is below 400.
func (p *prepared) passes(a *answer) (ok bool, failed int) {
	if len(p.Checks) == 0 {
		return a.status < 400, 0
	}
	status := false
	for _, c := range p.Checks {
		good := true
		if len(c.Status) > 0 {
			status = true
			good = slices.Contains(c.Status, a.status)
		}
		if good && c.Contains != "" {
			good = bytes.Contains(a.body, []byte(c.Contains))
		}
		if good && c.Header != "" {
			good = headerOf(a, c.Header) != ""
		}
		if !good {
			failed++
		}
	}
	return failed == 0 && (status || a.status < 400), failed
}

func headerOf(a *answer, name string) string {
	for line := range bytes.Lines(a.header()) {
		if n, v, ok := bytes.Cut(line, []byte(":")); ok && is(n, strings.ToLower(name)) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// take fills vars from an answer; false when something was not there.
func (p *prepared) take(a *answer, vars map[string]string) bool {
	all := true
	for _, t := range p.Take {
		value, ok := "", false
		if t.Header != "" {
			value = headerOf(a, t.Header)
			ok = value != ""
		} else {
			value, ok = at(a.body, t.JSON)
		}
		if vars[t.Name] = value; !ok {
			all = false
		}
	}
	return all
}

// at is the value at a path of keys and indices in JSON, as text.
func at(body []byte, path string) (string, bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "", false
	}
	for _, key := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[key]; !ok {
				return "", false
			}
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(x) {
				return "", false
			}
			v = x[i]
		default:
			return "", false
		}
	}
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	case bool:
		return strconv.FormatBool(x), true
	}
	return "", false
}
