package ui_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"zdl/internal/web/ui"
)

// most is what the whole page may weigh, gzipped, in bytes.
const most = 150 << 10

func TestTheWholePageIsSmall(t *testing.T) {
	total := 0
	err := fs.WalkDir(ui.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(ui.Files(), path)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(data)
		z.Close()
		t.Logf("%-12s %7d bytes, %6d gzipped", path, len(data), out.Len())
		total += out.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > most || total < 10<<10 {
		t.Errorf("the page weighs %d bytes gzipped, want at most %d", total, most)
	}
}

// The page loads nothing from elsewhere, and needs no exception from the content
// security policy.
func TestThePageIsSelfContained(t *testing.T) {
	html, err := fs.ReadFile(ui.Files(), "index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(html), -1) {
		if _, err := fs.Stat(ui.Files(), strings.TrimPrefix(m[1], "./")); err != nil {
			t.Errorf("index.html asks for %s: %v", m[1], err)
		}
	}
	for _, bad := range []string{"<style", " style=", "<script>", "onclick="} {
		if bytes.Contains(html, []byte(bad)) {
			t.Errorf("index.html has %q, which the policy forbids", bad)
		}
	}
	script, err := fs.ReadFile(ui.Files(), "page.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"eval(", "new Function(", "createElement(\"style\")"} {
		if bytes.Contains(script, []byte(bad)) {
			t.Errorf("page.js has %q, which the policy forbids", bad)
		}
	}
}

// Versions are exact, and the lock knows each of them.
func TestVersionsOfToolsArePinned(t *testing.T) {
	var manifest struct{ DevDependencies, Dependencies map[string]string }
	var lock struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	for name, into := range map[string]any{"package.json": &manifest, "package-lock.json": &lock} {
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(manifest.Dependencies) != 0 || len(manifest.DevDependencies) == 0 {
		t.Errorf("dependencies: %v, want only those for building", manifest.Dependencies)
	}
	for name, version := range manifest.DevDependencies {
		if locked := lock.Packages["node_modules/"+name]; locked.Version != version || locked.Integrity == "" {
			t.Errorf("%s is %s in package.json and %q in the lock", name, version, locked.Version)
		}
	}
}
