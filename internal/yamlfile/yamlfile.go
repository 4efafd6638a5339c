// Package yamlfile reads files that people write: one YAML document into a
// struct, where an unknown field is an error that names its line.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// APIVersion is that of all files of this kind.
const APIVersion = "zdl/v1"

// Decode reads the only document of data into a struct. Explain says what its
// errors mean.
func Decode(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the file is empty")
		}
		var t *yaml.TypeError
		if errors.As(err, &t) {
			for i := range t.Errors {
				t.Errors[i] = suggest(t.Errors[i], into)
			}
		}
		return err
	}
	if d.Decode(new(any)) != io.EOF {
		return errors.New("there is more than one document in the file")
	}
	return nil
}

// CheckHead wants the apiVersion and kind that a file must have.
func CheckHead(apiVersion, kind, want string) error {
	if apiVersion != APIVersion || kind != want {
		return fmt.Errorf("want apiVersion: %s and kind: %s, got %q and %q", APIVersion, want, apiVersion, kind)
	}
	return nil
}

var typeName = regexp.MustCompile(` in type \w+\.\w+`)

// Explain says on one line, and without names of Go, what is wrong with the file
// of that name.
func Explain(name string, err error) error {
	var t *yaml.TypeError
	text := err.Error()
	if errors.As(err, &t) {
		text = strings.Join(t.Errors, "; ")
	}
	text = typeName.ReplaceAllString(text, " here")
	return fmt.Errorf("%s: %s", name, strings.ReplaceAll(strings.TrimPrefix(text, "yaml: "), "\n", "; "))
}

// Span is a duration of 0 or more as Go writes it: 500ms, 30s, 1m30s.
type Span time.Duration

// UnmarshalYAML reads a duration.
func (s *Span) UnmarshalYAML(n *yaml.Node) error {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 {
		return fmt.Errorf("line %d: %q is not a duration such as 500ms, 30s or 1m30s", n.Line, n.Value)
	}
	*s = Span(d)
	return nil
}
