package artifact

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheShopsImagesAreOneLayer(t *testing.T) {
	images := shopImages("v1")
	if len(images) != 8 {
		t.Fatalf("%d images", len(images))
	}
	for _, i := range images {
		service, ok := strings.CutPrefix(i.name, "shop-")
		if !ok || !slices.Equal(i.layers, []string{"base", "shop"}) || !slices.Equal(i.entrypoint, []string{"/usr/local/bin/shop", service}) || i.user != "65532:65532" {
			t.Errorf("%+v", i)
		}
	}
}

func TestNoStoreRunsAsRoot(t *testing.T) {
	names := map[string]bool{}
	for _, d := range debianImages {
		i := d.image("5:7.0.15-1~deb12u7")
		if i.user == "0:0" || d.uid == 0 || strings.ContainsAny(i.version, ":~") || len(i.entrypoint) == 0 || names[d.name] {
			t.Errorf("%+v", i)
		}
		names[d.name] = true
	}
	if users["ferretdb"] == "" {
		t.Error("the document store has no user")
	}
}

// What is built once for one image must not be built again when another changes.
func TestEachDebianImageHasAKeyOfItsOwn(t *testing.T) {
	b := &builder{o: Options{Arch: "amd64", CacheDir: t.TempDir()}}
	if !b.native() || noApt() != "" {
		t.Skip("this machine has no apt")
	}
	dirs := func() map[string]string {
		plans, reason := b.planDebian()
		if reason != "" {
			t.Fatal(reason)
		}
		out := map[string]string{}
		for _, p := range plans {
			out[p.name] = p.dir
		}
		return out
	}
	before := dirs()
	old := redisImage.recipe
	redisImage.recipe = "changed"
	defer func() { redisImage.recipe = old }()
	for name, dir := range dirs() {
		if (dir != before[name]) != (name == "redis") {
			t.Errorf("after a change of redis: %s is in %s, was in %s", name, dir, before[name])
		}
	}
}

func TestAnOverlayMayBeTextWithTheVersion(t *testing.T) {
	target := filepath.Join(t.TempDir(), "version.txt")
	if err := (overlay{text: "{version}\n"}).apply("", "v1.24.2", target); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "v1.24.2\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestAPlaceThatDoesNotNameTheVersion(t *testing.T) {
	root := t.TempDir()
	if err := linkVersion(root, "usr/lib/x-*", "usr/local/lib/x"); err == nil {
		t.Error("no version is no error")
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/x-13"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := linkVersion(root, "usr/lib/x-*", "usr/local/lib/x"); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Join(root, "usr/local/lib/x")); err != nil || to != "/usr/lib/x-13" {
		t.Errorf("%q, %v", to, err)
	}
}
