package experiment

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"zdl/internal/yamlfile"
)

// count is a number, or all.
type count int

func (c *count) UnmarshalYAML(n *yaml.Node) error {
	if n.Value == "all" {
		*c = -1
		return nil
	}
	v, err := strconv.Atoi(n.Value)
	if err != nil || v < 1 {
		return fmt.Errorf("line %d: %q is not a count: want all, or a number from 1", n.Line, n.Value)
	}
	*c = count(v)
	return nil
}

// JSONSchema is how a count is written.
func (count) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"anyOf": []any{yamlfile.Node{"const": "all"}, yamlfile.Node{"type": "integer", "minimum": 1}}}
}

// percent is a share, 0 to 1.
type percent float64

func (p *percent) UnmarshalYAML(n *yaml.Node) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(n.Value, "%"), 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return fmt.Errorf("line %d: %q is not a percentage such as 0.1%%", n.Line, n.Value)
	}
	*p = percent(v / 100)
	return nil
}

// JSONSchema is how a percentage is written.
func (percent) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"type": []any{"string", "number"}, "pattern": `^[0-9]+(\.[0-9]+)?%?$`, "minimum": 0, "maximum": 100, "examples": []any{"0.1%"}}
}

// pattern is a regular expression that must match the whole text.
type pattern struct{ *regexp.Regexp }

func (p *pattern) UnmarshalYAML(n *yaml.Node) error {
	re, err := regexp.Compile("^(?:" + n.Value + ")$")
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	p.Regexp = re
	return nil
}

// JSONSchema is how a pattern is written.
func (pattern) JSONSchema() yamlfile.Node { return yamlfile.Node{"type": "string"} }

// part is a regular expression that is looked for anywhere in a text.
type part struct{ *regexp.Regexp }

func (p *part) UnmarshalYAML(n *yaml.Node) error {
	re, err := regexp.Compile(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	p.Regexp = re
	return nil
}

// JSONSchema is how it is written.
func (part) JSONSchema() yamlfile.Node { return yamlfile.Node{"type": "string"} }

// command is a program's arguments: a list, or one text that is split at blanks
// except within single or double quotes.
type command []string

func (c *command) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode((*[]string)(c))
	}
	words, err := split(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	if len(words) == 0 {
		return fmt.Errorf("line %d: there is no command", n.Line)
	}
	*c = words
	return nil
}

// JSONSchema is how a command is written.
func (command) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"anyOf": []any{
		yamlfile.Node{"type": "string"},
		yamlfile.Node{"type": "array", "items": yamlfile.Node{"type": "string"}, "minItems": 1},
	}}
}

// commands is one command, as one text, or a list of commands.
type commands [][]string

func (c *commands) UnmarshalYAML(n *yaml.Node) error {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, one := range nodes {
		var words command
		if err := words.UnmarshalYAML(one); err != nil {
			return err
		}
		*c = append(*c, words)
	}
	return nil
}

// JSONSchema is how commands are written.
func (commands) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"anyOf": []any{
		yamlfile.Node{"type": "string"},
		yamlfile.Node{"type": "array", "items": command(nil).JSONSchema(), "minItems": 1},
	}}
}

// split splits at blanks, except within quotes.
func split(text string) ([]string, error) {
	var out []string
	var word strings.Builder
	begun, quote := false, rune(0)
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && strings.ContainsRune(" \t\r\n", r):
			if begun {
				out = append(out, word.String())
				word.Reset()
			}
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if begun {
		out = append(out, word.String())
	}
	return out, nil
}
