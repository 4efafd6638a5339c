// Package jsonpointer finds places in decoded JSON by RFC 6901, for what changes
// objects of Kubernetes field by field.
package jsonpointer

import (
	"strconv"
	"strings"
)

// Find is the value at a path such as /spec/template/0; nil where nothing, or
// null, is.
func Find(in any, path string) any {
	at := in
	for _, word := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		switch v := at.(type) {
		case map[string]any:
			at = v[Unescape(word)]
		case []any:
			n, err := strconv.Atoi(word)
			if err != nil || n < 0 || n >= len(v) {
				return nil
			}
			at = v[n]
		default:
			return nil
		}
	}
	return at
}

// Unescape gives the key that a word of a path stands for.
func Unescape(word string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(word) }

// Escape makes a key fit into a path.
func Escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
