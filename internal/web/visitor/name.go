package visitor

import (
	"errors"
	"strings"
	"sync"
	"unicode"
)

// MaxName is how many characters a name has at most.
const MaxName = 24

var (
	// ErrTaken says that the name belongs to another session.
	ErrTaken = errors.New("somebody else has that name")
	// ErrNoName says that nothing is left of a name once it is fit to be shown.
	ErrNoName = errors.New("that is no name")
)

// reserved are names under which the lab itself acts.
var reserved = []string{"owner", "the owner", "autopilot", "arena", "somebody", "zdl"}

// Names are what sessions call themselves: each name belongs to one session. It
// is safe for concurrent use.
type Names struct {
	mu    sync.Mutex
	given table[ID, string]
	owner map[string]ID // by folded name
}

// NewNames remembers the names of at most max sessions; whoever was silent
// longest loses theirs.
func NewNames(max int) *Names {
	n := &Names{owner: map[string]ID{}}
	n.given = table[ID, string]{max: max, forget: func(id ID, name *string) { n.release(id, *name) }}
	return n
}

// Of is the name of a session, its Guest name if it has given none.
func (n *Names) Of(id ID) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name := n.given.find(id); name != nil {
		return *name
	}
	return id.Guest()
}

// Give names a session, as far as the name is fit to be shown, and returns that.
func (n *Names) Give(id ID, wanted string) (string, error) {
	name := Clean(wanted)
	if name == "" {
		return "", ErrNoName
	}
	key := fold(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if holder, ok := n.owner[key]; ok && holder != id {
		return "", ErrTaken
	}
	for _, r := range reserved {
		if key == r {
			return "", ErrTaken
		}
	}
	if strings.HasPrefix(key, "guest ") && key != fold(id.Guest()) {
		return "", ErrTaken // it may be how another one is called who has given no name
	}
	mine := n.given.get(id)
	n.release(id, *mine)
	*mine, n.owner[key] = name, id
	return name, nil
}

func (n *Names) release(id ID, name string) {
	if key := fold(name); n.owner[key] == id {
		delete(n.owner, key)
	}
}

// fold makes names equal that people would read as equal.
func fold(name string) string { return strings.ToLower(name) }

// Clean makes a name fit to be shown: printable characters, single spaces, at
// most MaxName of them, no heaps of accents. "" if nothing is left.
func Clean(s string) string {
	var out []rune
	marks := 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			r = ' '
			if len(out) == 0 || out[len(out)-1] == ' ' {
				continue
			}
		case r == unicode.ReplacementChar, !unicode.IsPrint(r), unicode.Is(unicode.Variation_Selector, r):
			continue
		case unicode.Is(unicode.M, r):
			if marks++; marks > 1 || len(out) == 0 || out[len(out)-1] == ' ' {
				continue
			}
		default:
			marks = 0
		}
		if len(out) == MaxName {
			break
		}
		out = append(out, r)
	}
	return strings.TrimRight(string(out), " ")
}
