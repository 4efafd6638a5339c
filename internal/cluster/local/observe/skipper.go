package observe

import (
	"regexp"
	"strings"
	"time"
)

// containerLine takes a line of a container's log apart, as containerd writes
// it: time, stream, F or P, text.
func containerLine(line string) (at time.Time, text string, ok bool) {
	stamp, rest, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return time.Time{}, "", false
	}
	_, rest, _ = strings.Cut(rest, " ")
	_, text, ok = strings.Cut(rest, " ")
	return at, text, ok
}

// Routes follows the log of one Skipper: which endpoints it sends requests to.
type Routes struct {
	route   string // beginning of the id of the Service's routes
	pending []string
	changed bool
}

// NewRoutes is about the Ingresses of a namespace.
func NewRoutes(namespace string) *Routes {
	return &Routes{route: "kube_" + strings.NewReplacer("-", "_", ".", "_").Replace(namespace) + "__"}
}

var backendURL = regexp.MustCompile(`https?://([0-9.]+):[0-9]+`)

// Line takes a line of the log; ok tells that new routes of the Service are in
// force since at, and endpoints to which addresses they lead, none perhaps.
// Skipper's words are of v0.22.0, routing/datasource.go and routing/routing.go.
func (r *Routes) Line(line string) (endpoints []string, at time.Time, ok bool) {
	if !strings.Contains(line, "route settings") {
		return nil, time.Time{}, false
	}
	at, text, ok := containerLine(line)
	if !ok {
		return nil, time.Time{}, false
	}
	_, text, _ = strings.Cut(text, `msg="`)
	switch {
	case strings.HasPrefix(text, "route settings applied"):
		if !r.changed {
			return nil, time.Time{}, false
		}
		r.changed = false
		return r.pending, at, true
	case strings.Contains(text, ", deleted id: "+r.route):
		r.pending, r.changed = nil, true
	case strings.Contains(text, ", route: "+r.route):
		_, backends, _ := strings.Cut(text, "->")
		r.pending, r.changed = nil, true
		for _, m := range backendURL.FindAllStringSubmatch(backends, -1) {
			r.pending = append(r.pending, m[1])
		}
	}
	return nil, time.Time{}, false
}
