package fault

import (
	"fmt"
	"maps"
	"slices"
)

// Error is a refusal: nothing was touched. Message is one sentence, Hint says
// what is allowed or what to try.
type Error struct {
	Message, Hint string
	cause         error
}

// Unwrap gives what the refusal is about, if that was an error.
func (e *Error) Unwrap() error { return e.cause }

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

func refuse(format string, args ...any) *Error { return &Error{Message: fmt.Sprintf(format, args...)} }

// Refuse is the error of a plan or a selector that cannot be: bad input, nothing
// touched.
func Refuse(message, hint string) error { return &Error{Message: message, Hint: hint} }

func (e *Error) hint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
