// Package attackfile reads attacks that are made of several faults from YAML.
//
//	parts:
//	  - {kind: pod-network-delay, target: any, mode: all, params: {delay: 50ms}}
//	  - {kind: node-power-off, target: worker-1}
//	sequence: true   # one after the other; else at the same time
//	pause: 2s        # between them
//	for: 30s
//
// A file with kind in place of parts is a single fault.
package attackfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/fault"
)

// MaxSize bounds a file, in bytes.
const MaxSize = 64 << 10

// Read reads a file that is not too large.
func Read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		err = fmt.Errorf("the file is larger than %d bytes", MaxSize)
	}
	return data, err
}

var (
	partFields = []string{"kind", "target", "params", "mode", "value", "seed"}
	fileFields = append([]string{"parts", "sequence", "pause", "for", "force"}, partFields...)
)

// Parse reads a request. Each mistake is a line of the error, with its place in
// the file.
func Parse(data []byte, name string) (fault.Request, error) {
	r := &reader{file: name}
	var doc yaml.Node
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty; it needs parts, or a kind")
		}
		return fault.Request{}, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	out := r.request(doc.Content[0])
	if err := d.Decode(&doc); !errors.Is(err, io.EOF) {
		r.errs = append(r.errs, fmt.Errorf("%s: there is more than one document in it", name))
	}
	return out, errors.Join(r.errs...)
}

type reader struct {
	file string
	errs []error
}

func (r *reader) report(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d:%d: %s", r.file, n.Line, n.Column, fmt.Sprintf(format, args...)))
}

func (r *reader) request(n *yaml.Node) fault.Request {
	m := r.mapping(n, fileFields)
	out := r.part(m)
	switch {
	case m == nil:
	case m["parts"] == nil && m["kind"] == nil:
		r.report(n, "there is neither parts nor a kind")
	case m["parts"] != nil:
		for _, field := range partFields {
			if m[field] != nil && field != "seed" {
				r.report(m[field], "%s belongs to a part, when there are parts", field)
			}
		}
		parts := m["parts"]
		if parts.Kind != yaml.SequenceNode {
			r.report(parts, "parts must be a list")
			break
		}
		if len(parts.Content) == 0 {
			r.report(parts, "parts is empty")
		}
		for _, item := range parts.Content {
			fields := r.mapping(item, partFields)
			part := r.part(fields)
			if fields != nil && fields["kind"] == nil {
				r.report(item, "a part needs a kind")
			}
			out.Parts = append(out.Parts, part)
		}
	}
	if m["parts"] == nil {
		for _, field := range []string{"sequence", "pause"} {
			if m[field] != nil {
				r.report(m[field], "%s is for several parts", field)
			}
		}
	}
	out.Sequence = r.truth(m["sequence"], "sequence")
	out.Pause = r.duration(m["pause"], "pause")
	out.For = r.duration(m["for"], "for")
	out.Force = r.truth(m["force"], "force")
	return out
}

func (r *reader) part(m map[string]*yaml.Node) fault.Request {
	out := fault.Request{Kind: r.text(m["kind"], "kind"), Target: r.text(m["target"], "target"), Mode: fault.Mode(r.text(m["mode"], "mode"))}
	if n := m["mode"]; n != nil && out.Mode != "" && !slices.Contains(fault.Modes(), out.Mode) {
		r.report(n, "mode %q is none of %v", out.Mode, fault.Modes())
	}
	out.Value = int(r.whole(m["value"], "value", 1<<31-1))
	out.Seed = r.whole(m["seed"], "seed", 1<<63)
	if n := m["params"]; n != nil {
		out.Params = map[string]string{}
		for name, value := range r.mapping(n, nil) {
			out.Params[name] = r.text(value, name)
		}
	}
	return out
}

// mapping reads fields, each once, of those that are known; nil: any.
func (r *reader) mapping(n *yaml.Node, known []string) map[string]*yaml.Node {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		r.report(n, "this must be fields with values")
		return nil
	}
	out := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], follow(n.Content[i+1])
		switch {
		case known != nil && !slices.Contains(known, key.Value):
			r.report(key, "there is no field %q; there are %s", key.Value, strings.Join(known, ", "))
		case out[key.Value] != nil:
			r.report(key, "%s is there twice", key.Value)
		default:
			out[key.Value] = value
		}
	}
	return out
}

func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// text is a scalar as it is written: 50 and true are texts, too.
func (r *reader) text(n *yaml.Node, field string) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.report(n, "%s must be a single value", field)
		return ""
	}
	return n.Value
}

func (r *reader) duration(n *yaml.Node, field string) time.Duration {
	text := r.text(n, field)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		r.report(n, "%s %q is no duration such as 500ms or 30s", field, text)
	}
	return d
}

func (r *reader) whole(n *yaml.Node, field string, limit uint64) uint64 {
	text := r.text(n, field)
	if text == "" {
		return 0
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v > limit {
		r.report(n, "%s %q is no whole number from 0 to %d", field, text, limit)
		return 0
	}
	return v
}

func (r *reader) truth(n *yaml.Node, field string) bool {
	switch text := r.text(n, field); text {
	case "true":
		return true
	case "", "false":
	default:
		r.report(n, "%s %q is neither true nor false", field, text)
	}
	return false
}
