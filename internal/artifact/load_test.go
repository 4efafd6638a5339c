package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// testLayout is a layout with one image for arch.
func testLayout(t *testing.T, arch string, annotations map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	out, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.AppendImage(testImage(t, arch), layout.WithAnnotations(annotations)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tarOf puts a layout into a file.
func tarOf(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := tarDirectory(file, dir); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".gz", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path + ".gz"
}

// dockerArchive is what docker save writes.
func dockerArchive(t *testing.T, arch, tag string) string {
	t.Helper()
	return saveDocker(t, testImage(t, arch), tag)
}

func saveDocker(t *testing.T, img v1.Image, tag string) string {
	t.Helper()
	reference, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "docker.tar")
	if err := tarball.WriteToFile(path, reference, img); err != nil {
		t.Fatal(err)
	}
	return path
}

// rewritten copies a tar with the content of one entry changed, or, if change
// returns nil, without that entry.
func rewritten(t *testing.T, path string, matches func(string) bool, change func([]byte) []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	touched := false
	err := eachEntry(path, func(h *tar.Header, content io.Reader) error {
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if matches(h.Name) {
			touched = true
			if data = change(data); data == nil {
				return nil
			}
			h.Size = int64(len(data))
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	if !touched {
		names, _ := tarNames(path)
		t.Fatalf("no entry of %s was changed: %v", path, names)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImageArchivesOfEveryKindAreRead(t *testing.T) {
	named := map[string]string{"io.containerd.image.name": "docker.io/library/shop:1.4"}
	for kind, path := range map[string]string{
		"layout directory":      testLayout(t, "amd64", named),
		"layout, other tool":    testLayout(t, "amd64", map[string]string{"org.opencontainers.image.ref.name": "shop:1.4"}),
		"layout tar":            tarOf(t, testLayout(t, "amd64", named)),
		"layout tar, gzip":      gzipped(t, tarOf(t, testLayout(t, "amd64", named))),
		"docker archive":        dockerArchive(t, "amd64", "shop:1.4"),
		"docker archive, gzip":  gzipped(t, dockerArchive(t, "amd64", "shop:1.4")),
		"docker, another image": dockerArchive(t, "amd64", "docker.io/library/shop:1.4"),
	} {
		t.Run(kind, func(t *testing.T) {
			a, err := OpenArchive(path, "amd64", "")
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if len(a.Images) != 1 {
				t.Fatalf("images: %+v", a.Images)
			}
			i := a.Images[0]
			if i.Name != "docker.io/library/shop:1.4" || i.Platform != "linux/amd64" || i.Size == 0 || !strings.HasPrefix(i.ID, "sha256:") {
				t.Errorf("got %+v", i)
			}
			again := restream(t, a)
			if again.Images[0] != i {
				t.Errorf("what nodes get is %+v", again.Images[0])
			}
		})
	}
}

// restream opens what nodes would get.
func restream(t *testing.T, a *Archive) *Archive {
	t.Helper()
	var b bytes.Buffer
	if err := a.Stream(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "streamed.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := OpenArchive(path, "amd64", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

func TestAnImageCanBeGivenAnotherName(t *testing.T) {
	for kind, path := range map[string]string{
		"layout without name": testLayout(t, "amd64", nil),
		"layout with a tag":   testLayout(t, "amd64", map[string]string{"org.opencontainers.image.ref.name": "1.4"}),
		"docker archive":      dockerArchive(t, "amd64", "other:1"),
	} {
		t.Run(kind, func(t *testing.T) {
			a, err := OpenArchive(path, "amd64", "example.com/shop:2")
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if got := restream(t, a).Images[0].Name; got != "example.com/shop:2" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestBadImageArchivesAreRefusedWithTheReason(t *testing.T) {
	scratch := t.TempDir()
	text := filepath.Join(scratch, "text")
	if err := os.WriteFile(text, []byte("hello, this is not an archive at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	named := map[string]string{"io.containerd.image.name": "shop:1.4"}
	isLayer := func(n string) bool { return strings.HasSuffix(n, ".tar.zst") }
	largest := func(dir string) string { // the layer of a layout
		var path string
		var size int64
		filepath.WalkDir(filepath.Join(dir, "blobs"), func(p string, e fs.DirEntry, _ error) error {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && bytes.HasPrefix(readAll(t, p), []byte{0x28, 0xb5, 0x2f, 0xfd}) {
				path, size = p, info.Size()
			}
			return nil
		})
		if size == 0 {
			t.Fatal("no layer found")
		}
		return path
	}
	damaged := testLayout(t, "amd64", named)
	layer := largest(damaged)
	data := readAll(t, layer)
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(layer, data, 0o644); err != nil {
		t.Fatal(err)
	}
	incomplete := testLayout(t, "amd64", named)
	if err := os.Remove(largest(incomplete)); err != nil {
		t.Fatal(err)
	}
	for want, path := range map[string]string{
		"no such file":              filepath.Join(scratch, "absent"),
		"no OCI image layout":       scratch,
		"not an image archive":      text,
		"this lab runs linux/amd64": testLayout(t, "arm64", named),
		"linux/arm64; this lab":     dockerArchive(t, "arm64", "shop:1.4"),
		"does not say its name":     testLayout(t, "amd64", nil),
		"damaged":                   damaged,
		"incomplete: blob":          incomplete,
		"is not in the archive":     rewritten(t, dockerArchive(t, "amd64", "shop:1.4"), isLayer, func([]byte) []byte { return nil }),
		"should have sha256":        rewritten(t, dockerArchive(t, "amd64", "shop:1.4"), isLayer, func(d []byte) []byte { return otherLayer(t) }),
		"neither oci-layout":        rewritten(t, dockerArchive(t, "amd64", "shop:1.4"), func(n string) bool { return n == "manifest.json" }, func([]byte) []byte { return nil }),
		"read manifest.json":        rewritten(t, dockerArchive(t, "amd64", "shop:1.4"), func(n string) bool { return n == "manifest.json" }, func([]byte) []byte { return []byte("{") }),
		"has no name":               rewritten(t, dockerArchive(t, "amd64", "shop:1.4"), func(n string) bool { return n == "manifest.json" }, func(d []byte) []byte { return bytes.Replace(d, []byte(`"shop:1.4"`), nil, 1) }),
		"configuration sha256:":     rewritten(t, dockerArchive(t, "amd64", "shop:1.4"), func(n string) bool { return strings.HasPrefix(n, "sha256:") }, func([]byte) []byte { return nil }),
		"holds no image":            emptyLayout(t),
		"unexpected EOF":            truncated(t, dockerArchive(t, "amd64", "shop:1.4")),
	} {
		a, err := OpenArchive(path, "amd64", "")
		if err == nil {
			a.Close()
			t.Errorf("%s: accepted", want)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to say %q", err, want)
		}
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// otherLayer is a valid compressed layer that no image here has.
func otherLayer(t *testing.T) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := writeTar(z, []entry{{path: "/evil", mode: 0o755, data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func emptyLayout(t *testing.T) string {
	dir := t.TempDir()
	if _, err := layout.Write(dir, empty.Index); err != nil {
		t.Fatal(err)
	}
	return dir
}

func truncated(t *testing.T, path string) string {
	if err := os.Truncate(path, 700); err != nil {
		t.Fatal(err)
	}
	return path
}

// recorder stands for the nodes of a lab.
type recorder struct {
	mu   sync.Mutex
	got  map[string][]byte
	down string // this node does not answer
}

func (r *recorder) Run(_ context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error) {
	if node == r.down {
		return nil, errors.New("machine is not powered on")
	}
	data, err := io.ReadAll(stdin)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[node+" "+strings.Join(argv, " ")] = data
	return nil, err
}

func TestLoadReachesEveryNodeThatIsOn(t *testing.T) {
	a, err := OpenArchive(dockerArchive(t, "amd64", "shop:1.4"), "amd64", "")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var want bytes.Buffer
	if err := a.Stream(&want); err != nil {
		t.Fatal(err)
	}
	r := &recorder{got: map[string][]byte{}, down: "worker-2"}
	results, err := Load(t.Context(), a, r, []string{"cp-1", "worker-1", "worker-2"})
	if err == nil || !strings.Contains(err.Error(), "worker-2") {
		t.Errorf("error: %v", err)
	}
	if !results[0].Loaded || !results[1].Loaded || results[2].Loaded || results[2].Error == "" {
		t.Errorf("results: %+v", results)
	}
	const importing = " /opt/zdl/bin/ctr --namespace k8s.io images import -"
	for _, node := range []string{"cp-1", "worker-1"} {
		if !bytes.Equal(r.got[node+importing], want.Bytes()) {
			t.Errorf("%s got %d bytes, want %d", node, len(r.got[node+importing]), want.Len())
		}
	}
}
