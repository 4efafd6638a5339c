package probe

import (
	"fmt"
	"strings"
)

// Lane is one way of using a web service.
type Lane struct {
	Reuse bool // keep connections between requests
	HTTP2 bool
	Write bool
}

// Lanes are all there are.
func Lanes() []Lane {
	var out []Lane
	for i := range 8 {
		out = append(out, Lane{Reuse: i&1 != 0, HTTP2: i&2 != 0, Write: i&4 != 0})
	}
	return out
}

// String is a name that ParseLanes understands, such as "new", "reused+h2".
func (l Lane) String() string {
	words := []string{"new"}
	if l.Reuse {
		words[0] = "reused"
	}
	if l.HTTP2 {
		words = append(words, "h2")
	}
	if l.Write {
		words = append(words, "write")
	}
	return strings.Join(words, "+")
}

// ParseLanes reads a list of lanes: "all", or names separated by commas. A name is
// one to three words joined by +: new or reused, h1 or h2, read or write. What is
// left out is new, h1, read.
func ParseLanes(list string) ([]Lane, error) {
	var out []Lane
	seen := map[Lane]bool{}
	add := func(l Lane) {
		if !seen[l] {
			seen[l] = true
			out = append(out, l)
		}
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "all" {
			for _, l := range Lanes() {
				add(l)
			}
			continue
		}
		var l Lane
		said := map[string]string{}
		for word := range strings.SplitSeq(name, "+") {
			about := ""
			switch word {
			case "new", "reused":
				about, l.Reuse = "connection", word == "reused"
			case "h1", "h2":
				about, l.HTTP2 = "protocol", word == "h2"
			case "read", "write":
				about, l.Write = "journey", word == "write"
			default:
				return nil, fmt.Errorf("lane %q: %q is none of new, reused, h1, h2, read, write", name, word)
			}
			if before := said[about]; before != "" {
				return nil, fmt.Errorf("lane %q: it says both %s and %s", name, before, word)
			}
			said[about] = word
		}
		add(l)
	}
	return out, nil
}
