package observe

import (
	"regexp"
	"strings"
)

// Verdict is what HAProxy found out about one of its servers.
type Verdict struct {
	Backend, Server string
	State           string // failing (a check failed, not yet enough of them), down, up
	Why             string
}

var (
	serverState = regexp.MustCompile(`^Server ([^/]+)/(\S+) is (UP|DOWN)(?:, reason: (.*?))?(?:, check duration|\. \d+ active)`)
	checkFailed = regexp.MustCompile(`^Health check for server ([^/]+)/(\S+) failed, reason: (.*?), check duration: .*status: \d+/\d+ UP`)
)

// HAProxyLine reads a line of HAProxy's log; ok tells that it is a verdict.
func HAProxyLine(line string) (v Verdict, ok bool) {
	switch {
	case strings.HasPrefix(line, "Server "):
		m := serverState.FindStringSubmatch(line)
		if m == nil {
			return v, false
		}
		return Verdict{m[1], m[2], strings.ToLower(m[3]), m[4]}, true
	case strings.HasPrefix(line, "Health check for server "):
		m := checkFailed.FindStringSubmatch(line)
		if m == nil {
			return v, false
		}
		return Verdict{m[1], m[2], "failing", m[3]}, true
	}
	return v, false
}
