package evidence

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// selectors is what a PromQL query asks for: the metrics by name, and the labels
// that must have a value. It is not a parser of PromQL; that is Prometheus'.
type selectors struct {
	metrics []string
	labels  map[string][]string // by name, what they must equal
	// narrowed are all labels that are compared with something.
	narrowed []string
}

// MaxQuery bounds a query, in bytes.
const MaxQuery = 1000

var (
	identifier = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	duration   = regexp.MustCompile(`^[0-9][0-9a-zA-Z._]*`)
	operators  = []string{"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool", "inf", "nan"}
	grouping   = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
)

// parseQuery reads which metrics and label values a query names.
func parseQuery(q string) (*selectors, error) {
	switch {
	case strings.TrimSpace(q) == "":
		return nil, fmt.Errorf("the query is empty")
	case len(q) > MaxQuery:
		return nil, fmt.Errorf("a query has at most %d characters, this one %d", MaxQuery, len(q))
	case !utf8.ValidString(q):
		return nil, fmt.Errorf("the query is not UTF-8")
	}
	out := &selectors{labels: map[string][]string{}}
	depth := 0
	for rest := q; rest != ""; {
		switch c := rest[0]; {
		case c == '"' || c == '\'' || c == '`':
			_, after, err := quoted(rest)
			if err != nil {
				return nil, err
			}
			rest = after
		case c == '{':
			after, err := out.matchers(rest[1:])
			if err != nil {
				return nil, err
			}
			rest = after
		case c == '(':
			depth, rest = depth+1, rest[1:]
		case c == ')':
			if depth--; depth < 0 {
				return nil, fmt.Errorf("a ) has no (")
			}
			rest = rest[1:]
		case c >= '0' && c <= '9':
			rest = rest[len(duration.FindString(rest)):]
		default:
			word := identifier.FindString(rest)
			if word == "" {
				_, size := utf8.DecodeRuneInString(rest)
				rest = rest[size:]
				continue
			}
			after := strings.TrimLeft(rest[len(word):], " \t\n")
			low := strings.ToLower(word)
			switch {
			case slices.Contains(grouping, low) && strings.HasPrefix(after, "("):
				end := strings.IndexByte(after, ')')
				if end < 0 {
					return nil, fmt.Errorf("a ( is not closed")
				}
				after = after[end+1:] // labels, not metrics
			case strings.HasPrefix(after, "("), slices.Contains(operators, low):
			case strings.HasPrefix(after, "by") && strings.HasPrefix(strings.TrimLeft(after[2:], " "), "("),
				strings.HasPrefix(after, "without") && strings.HasPrefix(strings.TrimLeft(after[7:], " "), "("):
				// sum by (x) (…): a function
			case !slices.Contains(out.metrics, word):
				out.metrics = append(out.metrics, word)
			}
			rest = after
		}
	}
	if depth != 0 {
		return nil, fmt.Errorf("a ( is not closed")
	}
	if len(out.metrics) == 0 {
		return nil, fmt.Errorf("the query names no metric")
	}
	return out, nil
}

// matchers reads what is within braces.
func (s *selectors) matchers(rest string) (string, error) {
	for {
		rest = strings.TrimLeft(rest, " \t\n,")
		if after, closed := strings.CutPrefix(rest, "}"); closed {
			return after, nil
		}
		name := identifier.FindString(rest)
		if name == "" {
			return "", fmt.Errorf("a { is not closed, or holds no label")
		}
		rest = strings.TrimLeft(rest[len(name):], " \t\n")
		op := ""
		for _, o := range []string{"=~", "!~", "!=", "="} {
			if strings.HasPrefix(rest, o) {
				op = o
				break
			}
		}
		if op == "" {
			return "", fmt.Errorf("label %s is compared with nothing", name)
		}
		value, after, err := quoted(strings.TrimLeft(rest[len(op):], " \t\n"))
		if err != nil {
			return "", err
		}
		if name != "__name__" && !slices.Contains(s.narrowed, name) {
			s.narrowed = append(s.narrowed, name)
		}
		if op == "=" && name == "__name__" {
			s.metrics = append(s.metrics, value)
		} else if op == "=" && !slices.Contains(s.labels[name], value) {
			s.labels[name] = append(s.labels[name], value)
		}
		rest = after
	}
}

// quoted reads a string; escapes stay as they are.
func quoted(s string) (value, rest string, err error) {
	if s == "" || !strings.ContainsRune("\"'`", rune(s[0])) {
		return "", "", fmt.Errorf("a label's value is not in quotes")
	}
	for i := 1; i < len(s); i++ {
		if s[i] == '\\' && s[0] != '`' {
			i++
		} else if s[i] == s[0] {
			return s[1:i], s[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("a quote is not closed")
}
