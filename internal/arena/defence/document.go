package defence

import (
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Document is the change of a JSON document that a program keeps in an
// annotation, as Patroni does with its settings.
type Document struct {
	Annotation string         `yaml:"annotation"`
	Merge      map[string]any `yaml:"merge"` // JSON merge patch of the document
}

// Shown is an annotation by which a program tells that it has taken a change
// over: of an object of the same kind and namespace.
type Shown struct {
	Name       string `yaml:"name" json:"name"`
	Annotation string `yaml:"annotation" json:"annotation"`
}

// withDocument gives an object as it will be with its document changed.
func withDocument(o *unstructured.Unstructured, d *Document) (*unstructured.Unstructured, error) {
	o = o.DeepCopy()
	annotations := o.GetAnnotations()
	var document map[string]any
	if err := utiljson.Unmarshal([]byte(annotations[d.Annotation]), &document); err != nil || document == nil {
		return nil, errors.Join(fmt.Errorf("its annotation %s holds no JSON document", d.Annotation), err)
	}
	patch, err := json.Marshal(d.Merge)
	if err != nil {
		return nil, err
	}
	var change map[string]any
	if err := utiljson.Unmarshal(patch, &change); err != nil {
		return nil, err
	}
	mergePatch(document, change)
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	annotations[d.Annotation] = string(text)
	o.SetAnnotations(annotations)
	return o, nil
}

// mergePatch is RFC 7386.
func mergePatch(into, patch map[string]any) {
	for key, v := range patch {
		inner, isMap := v.(map[string]any)
		old, wasMap := into[key].(map[string]any)
		switch {
		case v == nil:
			delete(into, key)
		case isMap && wasMap:
			mergePatch(old, inner)
		case isMap:
			fresh := map[string]any{}
			mergePatch(fresh, inner)
			into[key] = fresh
		default:
			into[key] = v
		}
	}
}
