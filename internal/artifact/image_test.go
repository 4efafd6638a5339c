package artifact

import (
	"archive/tar"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

func testLayer(t *testing.T, entries ...entry) *layerFile {
	t.Helper()
	l, err := writeLayer(filepath.Join(t.TempDir(), "layer"), entries)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALayerIsReproducibleWhateverTheOrder(t *testing.T) {
	a := entry{path: "/usr/bin/a", mode: 0o755, data: []byte("a")}
	b := entry{path: "/usr/bin/b", link: "a"}
	if x, y := testLayer(t, a, b), testLayer(t, b, a); x.digest != y.digest || x.diffID != y.diffID {
		t.Errorf("two digests: %v and %v", x.digest, y.digest)
	}
	if x, y := testLayer(t, a), testLayer(t, a, b); x.diffID == y.diffID {
		t.Error("different layers have one digest")
	}
}

func TestALayerHoldsItsFilesAndTheirDirectories(t *testing.T) {
	l := testLayer(t,
		entry{path: "/usr/bin/a", mode: 0o755, data: []byte("content")},
		entry{path: "/bin/sh", link: "/usr/bin/a"},
		entry{path: "/tmp", mode: 0o1777},
	)
	content, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var got []string
	reader := tar.NewReader(content)
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name+" "+h.FileInfo().Mode().String()+" "+h.Linkname+string(data))
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d:%d, time %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
	}
	want := "bin/ drwxr-xr-x |bin/sh Lrwxrwxrwx /usr/bin/a|tmp/ dtrwxrwxrwx |usr/ drwxr-xr-x |usr/bin/ drwxr-xr-x |usr/bin/a -rwxr-xr-x content"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

// testImage is a small valid image.
func testImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	layer, err := partial.CompressedToLayer(testLayer(t, entry{path: "/web", mode: 0o755, data: []byte("program")}))
	if err != nil {
		t.Fatal(err)
	}
	img, err := image{name: "web", version: "v1", layers: []string{"web"}, entrypoint: []string{"/web"}}.assemble(map[string]v1.Layer{"web": layer}, arch)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestAnAssembledImageSaysWhatItIs(t *testing.T) {
	img := testImage(t, "arm64")
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" || config.OS != "linux" || config.Config.Entrypoint[0] != "/web" {
		t.Errorf("configuration: %+v", config)
	}
}

func TestBusyboxAppletsAreLinks(t *testing.T) {
	var got []string
	for _, e := range busyboxLayer("/bin/busybox", []string{"bin/sh", "usr/bin/wget", "bin/busybox", "linuxrc"}) {
		got = append(got, e.path+">"+e.link)
	}
	if want := "/bin/busybox> /bin/sh>/bin/busybox /usr/bin/wget>/bin/busybox"; strings.Join(got, " ") != want {
		t.Errorf("got %v", got)
	}
}
