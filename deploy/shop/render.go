package shop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Names of the release and of the namespace that it is in.
const (
	Release   = "shop"
	Namespace = "shop"
)

// Load reads the chart.
func Load() (*chart.Chart, error) {
	var files []*archive.BufferedFile
	err := fs.WalkDir(Chart, "chart", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := Chart.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, &archive.BufferedFile{Name: strings.TrimPrefix(name, "chart/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, err
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("the shop's chart: %w", err)
	}
	return c, nil
}

// Values reads one of the files values-NAME.yaml beside the chart's own values.
func Values(name string) (map[string]any, error) {
	data, err := Chart.ReadFile("chart/values-" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return loader.LoadValues(bytes.NewReader(data))
}

// Render gives the chart's objects without asking any cluster, by the template that
// they come from. values replace the chart's own.
func Render(values map[string]any) (map[string][]*unstructured.Unstructured, error) {
	c, err := Load()
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: Release, Namespace: Namespace, Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values of the shop's chart: %w", err)
	}
	texts, err := engine.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("the shop's chart: %w", err)
	}
	out := map[string][]*unstructured.Unstructured{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		objects, err := Decode([]byte(texts[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[path.Base(name)] = objects
	}
	return out, nil
}

// Decode reads the objects of a YAML file; an empty document is none.
func Decode(text []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var object map[string]any
		err := d.Decode(&object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object) > 0 {
			out = append(out, &unstructured.Unstructured{Object: object})
		}
	}
}
