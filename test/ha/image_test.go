package ha

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Images from elsewhere come as an OCI layout or as a docker archive. After
// loading, a pod of each runs on every node.
func TestLoadedImagesRunOnEveryNode(t *testing.T) {
	l := lab(t)
	const ns = "t-image"
	l.Namespace(t, ns)
	for kind, write := range map[string]func(t *testing.T, image v1.Image, ref name.Tag) string{
		"oci-layout": func(t *testing.T, image v1.Image, ref name.Tag) string {
			dir := t.TempDir()
			path, err := layout.Write(dir, empty.Index)
			if err != nil {
				t.Fatal(err)
			}
			if err := path.AppendImage(image, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": ref.String()})); err != nil {
				t.Fatal(err)
			}
			return dir
		},
		"docker-archive": func(t *testing.T, image v1.Image, ref name.Tag) string {
			path := filepath.Join(t.TempDir(), "image.tar")
			if err := tarball.WriteToFile(path, ref, image); err != nil {
				t.Fatal(err)
			}
			return path
		},
	} {
		t.Run(kind, func(t *testing.T) {
			secret := make([]byte, 8)
			if _, err := rand.Read(secret); err != nil {
				t.Fatal(err)
			}
			marker := hex.EncodeToString(secret)
			ref, err := name.NewTag("example.test/" + kind + ":" + marker)
			if err != nil {
				t.Fatal(err)
			}
			l.Zdl(t, "image", "load", write(t, imageWith(t, marker), ref))
			l.Apply(t, fmt.Sprintf(`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: %[1]s, namespace: %[2]s}, spec: {
  selector: {matchLabels: {app: %[1]s}}, template: {metadata: {labels: {app: %[1]s}}, spec: {
    terminationGracePeriodSeconds: 0, tolerations: [{operator: Exists}],
    containers: [{name: main, image: %[3]q, imagePullPolicy: Never}]}}}}`, kind, ns, ref.String()))
			pods := l.WaitPods(t, ns, "app="+kind, len(workers)+len(controlPlanes), time.Minute)
			for _, p := range pods {
				waitFor(t, p.Name+" says what is in its image", 10*time.Second, func(ctx context.Context) error {
					r := l.TryKubectl(ctx, nil, "-n", ns, "logs", p.Name)
					if strings.TrimSpace(r.Stdout) != marker {
						return fmt.Errorf("%s on %s says %q %s, want %s", p.Name, p.Spec.NodeName, r.Stdout, r.Stderr, marker)
					}
					return nil
				})
			}
			if err := l.Client.AppsV1().DaemonSets(ns).Delete(t.Context(), kind, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadingWhatIsNoImageSaysSo(t *testing.T) {
	l := lab(t)
	junk := filepath.Join(t.TempDir(), "junk.tar")
	if err := os.WriteFile(junk, []byte("this is not a tar archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{junk, t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		r, err := l.Try(t.Context(), "image", "load", path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Code == 0 || !strings.Contains(r.Stderr, path) {
			t.Errorf("zdl image load %s: exit %d %q, want a sentence that names the path", path, r.Code, r.Stderr)
		}
	}
}

// imageWith is an image whose program prints the marker that lies in it, and
// stays.
func imageWith(t *testing.T, marker string) v1.Image {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("the test's image needs busybox-static: %v", err)
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for path, data := range map[string][]byte{"bin/busybox": busybox, "marker": []byte(marker + "\n")} {
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = []string{"/bin/busybox", "sh", "-c", "/bin/busybox cat /marker; exec /bin/busybox sleep 3600"}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}
