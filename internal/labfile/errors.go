package labfile

import (
	"fmt"
	"sort"
	"strings"
)

// FieldError is one mistake in a lab file.
type FieldError struct {
	File         string // as it was given to Parse
	Line, Column int    // from 1; 0 when the lab did not come from a file
	Field        string // nodes[2].zone; "" for the file as a whole
	Message      string // what was found and what is allowed
}

// Error reads file:line:column: field: message.
func (e *FieldError) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File + ":")
		if e.Line > 0 {
			fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
		}
		b.WriteString(" ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors are all mistakes of a lab file, in the order of the file.
type Errors []*FieldError

// Error has one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a *FieldError.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, err := range e {
		out[i] = err
	}
	return out
}

// reporter collects mistakes and knows where each field stands in its file.
type reporter struct {
	file   string
	places map[string]place // by field path
	errs   Errors
	failed map[string]bool // fields that already have a mistake
}

type place struct{ line, column int }

func newReporter(file string) *reporter {
	return &reporter{file: file, places: map[string]place{}, failed: map[string]bool{}}
}

// report adds a mistake, unless the field or one it lies in has one already:
// what follows from a mistake is not reported.
func (r *reporter) report(field, format string, args ...any) {
	if r.bad(field) {
		return
	}
	r.failed[field] = true
	at := r.where(field)
	r.errs = append(r.errs, &FieldError{File: r.file, Line: at.line, Column: at.column, Field: field,
		Message: fmt.Sprintf(format, args...)})
}

// bad tells whether the field, or one it lies in, has been reported.
func (r *reporter) bad(field string) bool {
	for {
		if r.failed[field] {
			return true
		}
		if field == "" {
			return false
		}
		field = parent(field)
	}
}

// where finds the field in its file, or what it would have stood in.
func (r *reporter) where(field string) place {
	for {
		if p, ok := r.places[field]; ok {
			return p
		}
		if field == "" {
			return place{}
		}
		field = parent(field)
	}
}

// err is nil when nothing was reported.
func (r *reporter) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	sort.SliceStable(r.errs, func(i, j int) bool {
		a, b := r.errs[i], r.errs[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return r.errs
}

// parent cuts the last step off a field path: a[1].b → a[1] → a → "".
func parent(field string) string {
	// Label keys hold dots and slashes and are quoted: labels["a.b/c"].
	if strings.HasSuffix(field, `"]`) {
		if i := strings.LastIndex(field, `["`); i >= 0 {
			return field[:i]
		}
	}
	if i := strings.LastIndexAny(field, ".["); i >= 0 {
		return field[:i]
	}
	return ""
}
