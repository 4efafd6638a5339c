package serve

import (
	"strconv"
	"strings"
)

// unknownField is the field that encoding/json complains about. The package has
// no error type for it, so its words are read.
func unknownField(err error) (string, bool) {
	name, found := strings.CutPrefix(err.Error(), "json: unknown field ")
	if !found {
		return "", false
	}
	if raw, err := strconv.Unquote(name); err == nil {
		name = raw
	}
	return quoted(name), true
}

// quoted repeats what a client sent, safely and not at length.
func quoted(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.QuoteToASCII(s)
}
