package step

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/jsonpointer"
)

// Field is one field of an object and how it is changed.
type Field struct {
	// Path is a JSON pointer (RFC 6901): /spec/replicas.
	Path string `json:"path"`
	// Old is the value before, New the one that the fault gives it, as JSON;
	// nil: the field is absent.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
	// Member: Path is a list, and Old or New is one of its members, which is
	// taken out or put in while the others may change as they like.
	Member bool `json:"member,omitempty"`
	// At is where in the list it was.
	At int `json:"at,omitempty"`
	// Secret values are shown by their hash only.
	Secret bool `json:"secret,omitempty"`
}

// Set is the change of a field to a value.
func Set(path string, value any) Field { return Field{Path: path, New: encode(value)} }

// AddMember puts a value into a list, RemoveMember takes one out.
func AddMember(path string, value any) Field {
	return Field{Path: path, New: encode(value), Member: true}
}

// RemoveMember takes a value out of a list.
func RemoveMember(path string, value any) Field {
	return Field{Path: path, Old: encode(value), Member: true}
}

// encode gives canonical JSON: object keys sorted.
func encode(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // values are literals of this program or came from JSON
	}
	var again any
	_ = json.Unmarshal(data, &again)
	data, _ = json.Marshal(again)
	return data
}

// operation is one of a JSON patch. A null value tests for absence.
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

var null = json.RawMessage("null")

func quoted(s string) json.RawMessage { return encode(s) }

// String names the field: spec.replicas.
func (f *Field) String() string {
	name := strings.ReplaceAll(strings.TrimPrefix(f.Path, "/"), "/", ".")
	name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	if f.Member {
		name += " " + f.show(f.member())
	}
	return name
}

// key is unique among the fields of an object.
func (f *Field) key() string {
	if f.Member {
		return f.Path + "[" + string(f.member()) + "]"
	}
	return f.Path
}

func (f *Field) member() json.RawMessage {
	if f.New != nil {
		return f.New
	}
	return f.Old
}

// turn says what is replaced by what.
func (f *Field) turn(undo bool) (from, to json.RawMessage) {
	if undo {
		return f.New, f.Old
	}
	return f.Old, f.New
}

// read fills in what the object holds before. A field whose parent is missing
// becomes the parent, so that undo leaves no empty one behind.
func (f *Field) read(o *unstructured.Unstructured) {
	if f.Member {
		if at := position(o.Object, f.Path, f.member()); f.New != nil && at >= 0 {
			f.Old = f.New // is there already
		} else if f.New == nil && at < 0 {
			f.Old = nil // was not there
		} else {
			f.At = max(at, 0)
		}
		return
	}
	for f.New != nil {
		cut := strings.LastIndexByte(f.Path, '/')
		if cut <= 0 || lookup(o.Object, f.Path[:cut]) != nil {
			break
		}
		f.New = encode(map[string]json.RawMessage{jsonpointer.Unescape(f.Path[cut+1:]): f.New})
		f.Path = f.Path[:cut]
	}
	f.Old = lookup(o.Object, f.Path)
}

func (f *Field) changes() bool { return !same(f.Old, f.New) }

// holds tells whether the field has a value, or the list the member.
func (f *Field) holds(o *unstructured.Unstructured, value, other json.RawMessage) bool {
	if !f.Member {
		return same(lookup(o.Object, f.Path), value)
	}
	if value == nil {
		return position(o.Object, f.Path, other) < 0
	}
	return position(o.Object, f.Path, value) >= 0
}

func (f *Field) replace(from, to json.RawMessage) []operation {
	if from == nil {
		return []operation{{"test", f.Path, null}, {"add", f.Path, to}}
	}
	test := operation{"test", f.Path, from}
	if to == nil {
		return []operation{test, {Op: "remove", Path: f.Path}}
	}
	return []operation{test, {"replace", f.Path, to}}
}

// parents makes the objects around a field that is to be added, where they are
// missing: the API server drops a map with the last of its keys.
func (f *Field) parents(o *unstructured.Unstructured, to json.RawMessage) []operation {
	var ops []operation
	for i, c := range f.Path {
		if path := f.Path[:i]; c == '/' && i > 0 && to != nil && lookup(o.Object, path) == nil {
			ops = append(ops, operation{"add", path, json.RawMessage("{}")})
		}
	}
	return ops
}

func (f *Field) memberOps(o *unstructured.Unstructured, from, to json.RawMessage) []operation {
	if to != nil {
		switch {
		case position(o.Object, f.Path, to) >= 0:
			return nil
		case lookup(o.Object, f.Path) == nil:
			return []operation{{"test", f.Path, null}, {"add", f.Path, encode([]json.RawMessage{to})}}
		}
		if list, _ := listAt(o.Object, f.Path); f.New == nil && f.At < len(list) {
			return []operation{{"add", f.Path + "/" + strconv.Itoa(f.At), to}}
		}
		return []operation{{"add", f.Path + "/-", to}}
	}
	at := position(o.Object, f.Path, from)
	if at < 0 {
		return nil
	}
	if list, _ := listAt(o.Object, f.Path); len(list) == 1 {
		return []operation{{"test", f.Path, encode(list)}, {Op: "remove", Path: f.Path}}
	}
	path := f.Path + "/" + strconv.Itoa(at)
	return []operation{{"test", path, from}, {Op: "remove", Path: path}}
}

// change says in words what became of it.
func (f *Field) change() string {
	switch {
	case f.Member && f.New != nil:
		return f.String() + " added"
	case f.Member:
		return f.String() + " removed"
	case f.New == nil:
		return fmt.Sprintf("%s removed, was %s", f, f.show(f.Old))
	}
	return fmt.Sprintf("%s %s, was %s", f, f.show(f.New), f.show(f.Old))
}

// show is a value for people: short, and never a secret.
func (f *Field) show(value json.RawMessage) string {
	switch {
	case value == nil:
		return "absent"
	case f.Secret, len(value) > 160:
		return fingerprint(value)
	}
	return string(value)
}

// lookup finds the value of a JSON pointer as canonical JSON; nil where nothing is.
func lookup(o map[string]any, path string) json.RawMessage {
	return encode(jsonpointer.Find(o, path))
}

// Escape makes a key fit into a JSON pointer.
func Escape(key string) string { return jsonpointer.Escape(key) }

func listAt(o map[string]any, path string) ([]json.RawMessage, bool) {
	var list []json.RawMessage
	err := json.Unmarshal(lookup(o, path), &list)
	return list, err == nil
}

// position of a member in a list, or -1.
func position(o map[string]any, path string, member json.RawMessage) int {
	list, _ := listAt(o, path)
	for i, m := range list {
		if same(encode(m), member) {
			return i
		}
	}
	return -1
}

func same(a, b json.RawMessage) bool { return string(a) == string(b) && (a == nil) == (b == nil) }
