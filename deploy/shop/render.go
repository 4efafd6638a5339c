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
	"k8s.io/client-go/rest"
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
	texts, err := render(c, engine.Engine{}, values, 1)
	if err != nil {
		return nil, err
	}
	out := map[string][]*unstructured.Unstructured{}
	for name, text := range texts {
		if out[path.Base(name)], err = Decode([]byte(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

// RenderIn renders a revision for the cluster of config, from which passwords and
// numbers of replicas that are there already are taken. text is the objects as one
// file.
func RenderIn(config *rest.Config, values map[string]any, revision int) (c *chart.Chart, objects []*unstructured.Unstructured, text string, err error) {
	if c, err = Load(); err != nil {
		return nil, nil, "", err
	}
	texts, err := render(c, engine.New(config), values, revision)
	if err != nil {
		return nil, nil, "", err
	}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		fmt.Fprintf(&all, "---\n# Source: %s\n%s\n", name, strings.TrimSpace(texts[name]))
	}
	objects, err = Decode([]byte(all.String()))
	return c, objects, all.String(), err
}

// render gives the texts of the templates that hold objects.
func render(c *chart.Chart, e engine.Engine, values map[string]any, revision int) (map[string]string, error) {
	options := common.ReleaseOptions{Name: Release, Namespace: Namespace, Revision: revision, IsInstall: revision == 1, IsUpgrade: revision > 1}
	all, err := util.ToRenderValues(c, values, options, common.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values of the shop's chart: %w", err)
	}
	texts, err := e.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("the shop's chart: %w", err)
	}
	maps.DeleteFunc(texts, func(name, _ string) bool { return path.Ext(name) != ".yaml" })
	return texts, nil
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
