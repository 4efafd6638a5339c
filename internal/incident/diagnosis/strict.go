package diagnosis

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"unicode/utf8"
)

// fields are those that are known, at any depth, for the refusal to name.
const fields = "healthy, nodes, edges; of a node id, layer, entity, state, evidence; of an edge from, to"

var lower = regexp.MustCompile(`^[a-z][a-zA-Z]*$`)

// scan refuses what is too large, too deep, too much, no UTF-8, or says something
// twice, before anything is made of it.
func scan(data []byte) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return refuse("there is nothing: want JSON with nodes and edges")
	case len(data) > MaxSize:
		return refuse("it has %d bytes; at most %d are allowed", len(data), MaxSize)
	case !utf8.Valid(data):
		return refuse("it is not UTF-8")
	}
	type level struct {
		object bool
		key    bool // a key is next
		seen   map[string]bool
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var levels []level
	for n := 0; ; n++ {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && n > 0 && len(levels) == 0 {
			return nil
		}
		if err != nil {
			return refuse("it is not JSON: %v", err)
		}
		if n > 0 && len(levels) == 0 {
			return refuse("there is more behind the object")
		}
		if n > maxTokens {
			return refuse("it holds more than %d values", maxTokens)
		}
		if n == 0 && token != json.Delim('{') {
			return refuse("it must be an object with %s", fields)
		}
		top := len(levels) - 1
		switch v := token.(type) {
		case json.Delim:
			if v == '}' || v == ']' {
				levels = levels[:top]
				continue
			}
			if len(levels) >= maxDepth {
				return refuse("it is more than %d levels deep", maxDepth)
			}
			if top >= 0 && levels[top].object {
				levels[top].key = true
			}
			levels = append(levels, level{object: v == '{', key: v == '{', seen: map[string]bool{}})
		default:
			if top < 0 || !levels[top].object {
				continue
			}
			if name, is := v.(string); is && levels[top].key {
				if levels[top].seen[name] {
					return refuse("the field %.60q is there twice", name)
				}
				if !lower.MatchString(name) {
					return refuse("there is no field %.60q; there are %s", name, fields)
				}
				levels[top].seen[name], levels[top].key = true, false
				continue
			}
			levels[top].key = true
		}
	}
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refuse("%s; there are %s", clean(err), fields)
	}
	return nil
}

var goNames = regexp.MustCompile(`json: |Go struct field |Go value of type |(\w+)\.`)

// clean takes the names of Go's types out of an error.
func clean(err error) string {
	text := goNames.ReplaceAllString(err.Error(), "")
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}
