package load

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"zdl/internal/yamlfile"
)

// Text is a load file without its head, as a part of another file.
type Text struct{ Node yaml.Node }

// UnmarshalYAML keeps it until everything else is known.
func (t *Text) UnmarshalYAML(n *yaml.Node) error {
	t.Node = *n
	return nil
}

// JSONSchema is that of load files, without their head.
func (Text) JSONSchema() yamlfile.Node {
	s := Schema()
	properties := s["properties"].(yamlfile.Node)
	delete(properties, "apiVersion")
	delete(properties, "kind")
	return yamlfile.Node{"type": "object", "properties": properties, "additionalProperties": false, "required": []any{"journeys"}}
}

// Plan reads it. Base stands before URLs that begin with a slash.
func (t *Text) Plan(base string) (*Plan, error) {
	text, err := yaml.Marshal(&t.Node)
	if err != nil {
		return nil, err
	}
	// Blank lines before it, so that errors name the lines of the whole file.
	head := fmt.Sprintf("%sapiVersion: %s\nkind: %s\n", strings.Repeat("\n", max(t.Node.Line-3, 0)), yamlfile.APIVersion, Kind)
	return Read(append([]byte(head), text...), "load", base)
}
