package yamlfile

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

var unknownField = regexp.MustCompile(`field (\S+) not found in type (\S+)`)

// suggest adds to a complaint about an unknown field what was perhaps meant. It
// knows the fields of every struct that into is made of.
func suggest(text string, into any) string {
	types := map[string]reflect.Type{}
	structs(reflect.TypeOf(into), types)
	return unknownField.ReplaceAllStringFunc(text, func(found string) string {
		m := unknownField.FindStringSubmatch(found)
		t, ok := types[m[2]]
		if !ok {
			return found
		}
		if near := nearest(m[1], names(t)); near != "" {
			return fmt.Sprintf("%s; did you mean %s?", found, near)
		}
		return fmt.Sprintf("%s; known are %s", found, strings.Join(names(t), ", "))
	})
}

// structs collects every struct that a value of a type may hold.
func structs(t reflect.Type, found map[string]reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		structs(t.Elem(), found)
	case reflect.Struct:
		if _, known := found[t.String()]; known {
			return
		}
		found[t.String()] = t
		for i := range t.NumField() {
			structs(t.Field(i).Type, found)
		}
	}
}

// names lists the fields of a struct as they are written.
func names(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if name := fieldName(t.Field(i)); name != "" {
			out = append(out, name)
		}
	}
	return out
}

// fieldName is how a field is written, "" for one that is not.
func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

// nearest is the one of some words that is close enough to have been meant, or "".
func nearest(word string, known []string) string {
	best, off := "", max(2, len(word)/3)+1
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < off {
			best, off = k, d
		}
	}
	return best
}

// distance counts insertions, deletions, substitutions and swaps of neighbours
// that lead from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			d := min(change, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
