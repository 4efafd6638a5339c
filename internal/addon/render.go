package addon

import (
	"bytes"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed manifests
var manifests embed.FS

// render fills in one manifest and splits it into its objects. An image that is
// not in images and a field that data does not have are errors.
func render(path string, data any, images map[string]string) ([]*unstructured.Unstructured, error) {
	t := template.New("").Option("missingkey=error")
	t.Funcs(template.FuncMap{
		"image": func(name string) (string, error) {
			if ref := images[name]; ref != "" {
				return ref, nil
			}
			return "", fmt.Errorf("no image is known by the name %q", name)
		},
		"include": func(name string, data any) (string, error) {
			var b strings.Builder
			err := t.ExecuteTemplate(&b, name, data)
			return b.String(), err
		},
		"nindent": func(n int, text string) string {
			return strings.ReplaceAll("\n"+strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", n))
		},
		"quote":  func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"base64": func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) },
		"add":    func(a, b int) int { return a + b },
	})
	for _, p := range []string{"manifests/partials.yaml", path} {
		text, err := manifests.ReadFile(p)
		if err != nil {
			return nil, err
		}
		if _, err := t.New(p).Parse(string(text)); err != nil {
			return nil, err
		}
	}
	var filled bytes.Buffer
	if err := t.ExecuteTemplate(&filled, path, data); err != nil {
		return nil, err
	}
	return split(&filled)
}

// split reads a stream of YAML documents.
func split(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		var o unstructured.Unstructured
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(objects)+1, err)
		}
		if len(o.Object) > 0 { // a document of comments only
			objects = append(objects, &o)
		}
	}
}
