package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// builtSet is the set that `zdl build` made.
func builtSet(t *testing.T) *Set {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: needs mounts, loop devices and a real containerd")
	}
	s, err := Open(DefaultCache())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// node runs a script where a node's containerd runs on a copy of the disk
// template, in namespaces of its own that end with the script. It sees the
// directory files at /files.
func node(t *testing.T, s *Set, files, script string) string {
	t.Helper()
	dir := t.TempDir()
	const prepare = `
set -e
R=$T/root; mkdir $R; mount -t tmpfs none $R
cd $R; mkdir -p usr etc proc sys dev run tmp var opt/zdl/bin opt/zdl/golden test files
for l in bin sbin lib lib64; do ln -s usr/$l $l; done
mount --rbind /usr usr; mount --bind $S/bin opt/zdl/bin
mount --bind $S/golden opt/zdl/golden; mount -o remount,ro,bind opt/zdl/golden
mount --bind $T test; mount --bind $F files
cp --sparse=always $S/disk.img $T/disk.img; mount -o loop $T/disk.img var
mount -t proc none proc; mount --rbind /sys sys; mount --rbind /dev dev
cat > etc/containerd.toml <<C
version = 4
imports = []
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.internal.v1.opt']
  path = '/var/lib/containerd/opt'
C
cat > etc/script <<'C'
set -e
export PATH=$PATH:/opt/zdl/bin
ctr() { command ctr -n k8s.io "$@"; }
containerd -c /etc/containerd.toml 2> /test/containerd.log & P=$!
for i in $(seq 100); do ctr version > /dev/null 2>&1 && break; sleep 0.1; done
%s
kill $P; wait $P
rmdir /sys/fs/cgroup/*/k8s.io /sys/fs/cgroup/k8s.io 2> /dev/null || true
C
exec chroot $R /bin/sh /etc/script
`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", fmt.Sprintf(prepare, script))
	cmd.Env = append(os.Environ(), "S="+s.Dir, "T="+dir, "F="+files)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "containerd.log"))
		t.Fatalf("%v\n%s\n%s\ncontainerd: %s", err, output, stderr.String(), tail(log, 3000))
	}
	return string(output)
}

// inventory describes every file below dir.
func inventory(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		files = append(files, fmt.Sprintf("%s %v %d %d %v", path, info.Mode(), info.Size(), stat.Ino, info.ModTime()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestANodeRunsTheSharedImagesAndCannotDamageThem(t *testing.T) {
	s := builtSet(t)
	before := inventory(t, s.Golden)
	toolbox := s.Images["toolbox"]
	output := node(t, s, t.TempDir(), `
ctr images ls -q | grep ^zdl.local | sed 's/^/image /'
ctr run --rm `+toolbox+` one sh -c 'echo hello from $(hostname > /dev/null; echo toolbox)'
ctr run --rm `+s.Images["kube-proxy"]+` two nft --version
ctr run --rm `+s.Images["kube-apiserver"]+` three kube-apiserver --version
ctr run --rm `+s.Images["etcd"]+` four etcd --version
ctr run --rm `+s.Images["coredns"]+` five coredns -version
ctr run -d `+s.Images["pause"]+` six
ctr task ls | grep six
ctr task kill -s KILL six; for i in $(seq 50); do ctr task rm six 2> /dev/null && break; sleep 0.1; done; ctr container rm six

set -- $(ctr images ls "name==`+toolbox+`" | tail -n 1)
ctr images rm --sync $(ctr images ls -q "target.digest==$3") > /dev/null
ctr run --rm `+toolbox+` seven true 2> /dev/null && echo "still there"
ctr run --rm `+s.Images["etcd"]+` eight etcdctl version
echo "disk $(du -m /test/disk.img | cut -f1)"
`)
	var images []string
	for line := range strings.Lines(output) {
		if image, ok := strings.CutPrefix(line, "image "); ok {
			images = append(images, strings.TrimSpace(image))
		}
	}
	var want []string
	for _, reference := range s.Images {
		want = append(want, reference)
	}
	slices.Sort(want)
	slices.Sort(images)
	if !slices.Equal(images, want) {
		t.Errorf("images on the node: %v\nin the set: %v", images, want)
	}
	for _, text := range []string{"hello from toolbox", "nftables v", "Kubernetes " + s.Versions["kubernetes"], "etcd Version: " + s.Versions["etcd"][1:], "CoreDNS-", "RUNNING", "etcdctl version"} {
		if !strings.Contains(output, text) {
			t.Errorf("%q is missing in:\n%s", text, output)
		}
	}
	if strings.Contains(output, "still there") {
		t.Error("a removed image still runs")
	}
	var disk int
	if _, err := fmt.Sscanf(output[strings.LastIndex(output, "disk "):], "disk %d", &disk); err != nil || disk > 32 {
		t.Errorf("the node's disk takes %d MiB on the host: %v", disk, err)
	}
	if after := inventory(t, s.Golden); !slices.Equal(before, after) {
		t.Error("the golden root has changed")
	}
	if loops, err := exec.Command("losetup", "-a").Output(); err != nil || strings.Contains(string(loops), t.Name()) {
		t.Errorf("a loop device is left: %s %v", loops, err)
	}
}

func TestProgramsInImagesAreTheOnesOnTheNodes(t *testing.T) {
	s := builtSet(t)
	found := map[string]bool{}
	err := filepath.WalkDir(s.Golden, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "kubernetes" && e.Name() != "etcd" || !e.Type().IsRegular() {
			return err
		}
		inside, err := os.Stat(path)
		if err != nil {
			return err
		}
		outside, err := os.Stat(filepath.Join(s.Bin, e.Name()))
		if err != nil {
			return err
		}
		if !os.SameFile(inside, outside) {
			t.Errorf("%s is a second copy", path)
		}
		found[e.Name()] = true
		return nil
	})
	if err != nil || len(found) != 2 {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestLoadedArchivesRunOnANode(t *testing.T) {
	s := builtSet(t)
	busybox, err := findBusybox()
	if err != nil {
		t.Fatal(err)
	}
	layer, err := partial.CompressedToLayer(testLayer(t, busyboxLayer(busybox, []string{"bin/sh", "bin/echo"})...))
	if err != nil {
		t.Fatal(err)
	}
	img, err := image{name: "x", version: "1", layers: []string{"x"}, command: []string{"/bin/sh"}}.assemble(map[string]v1.Layer{"x": layer}, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	docker := saveDocker(t, img, "shop:1.4")
	shared := t.TempDir()
	for name, source := range map[string][2]string{"oci": {filepath.Join(dir, "layout"), "example.com/shop:2"}, "docker": {docker, ""}} {
		a, err := OpenArchive(source[0], runtime.GOARCH, source[1])
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		file, err := os.Create(filepath.Join(shared, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Stream(file), file.Close()); err != nil {
			t.Fatal(err)
		}
	}
	output := node(t, s, shared, `
ctr images import - < /files/oci > /dev/null
ctr images import - < /files/docker > /dev/null
ctr run --rm example.com/shop:2 one /bin/echo from the layout
ctr run --rm docker.io/library/shop:1.4 two /bin/echo from the docker archive
`)
	for _, text := range []string{"from the layout", "from the docker archive"} {
		if !strings.Contains(output, text) {
			t.Errorf("%q is missing in:\n%s", text, output)
		}
	}
}

func TestNothingToBuildTakesNoTime(t *testing.T) {
	builtSet(t)
	began := time.Now()
	_, err := Build(t.Context(), Options{SourceDir: filepath.Join("..", ".."), Progress: func(e Event) {
		if e.Done && !e.Cached {
			t.Errorf("%s was built again", e.Name)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestAnInterruptedBuildLeavesNothingAndIsContinued(t *testing.T) {
	s := builtSet(t)
	cache, err := os.MkdirTemp(filepath.Dir(filepath.Dir(s.Dir)), "test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(cache) })
	programs := filepath.Join(filepath.Dir(filepath.Dir(s.Dir)), "programs")
	if output, err := exec.Command("cp", "--archive", "--link", programs, cache).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, output)
	}
	for _, phase := range []string{"layers", "import"} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Build(ctx, Options{CacheDir: cache, SourceDir: filepath.Join("..", ".."), Progress: func(e Event) {
			if e.Phase == phase {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			t.Fatalf("interrupted in %q: no error", phase)
		}
		if _, err := Open(cache); err == nil {
			t.Errorf("interrupted in %q: there is a set", phase)
		}
		left, err := os.ReadDir(filepath.Join(cache, "tmp-"+runtime.GOARCH))
		if err == nil {
			t.Errorf("interrupted in %q: left %v", phase, left)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range commands {
		if line, err := os.ReadFile(command); err == nil && strings.Contains(string(line), cache) {
			t.Errorf("a process is left: %q", line)
		}
	}
	fresh, err := Build(t.Context(), Options{CacheDir: cache, SourceDir: filepath.Join("..", "..")})
	if err != nil {
		t.Fatal(err)
	}
	if len(fresh.Images) != len(s.Images) {
		t.Errorf("images: %v", fresh.Images)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), cache) {
		t.Errorf("something is still mounted (%v)", err)
	}
}

func TestAnExportWorksWhereItIsUnpacked(t *testing.T) {
	s := builtSet(t)
	dir, programs := t.TempDir(), t.TempDir()
	for _, name := range []string{"zdl", "zdl-init"} {
		if err := os.WriteFile(filepath.Join(programs, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Hold(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "zdl-lab.tar")
	if err := exportFrom(t.Context(), s, file, programs); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("tar", "-xf", file, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(dir, exportDir, "zdl-init")); err != nil {
		t.Error(err)
	}
	unpacked, err := Open(filepath.Join(dir, exportDir, exportCache))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(unpacked.Dir, "holders")); err == nil {
		t.Error("holders of this machine were exported")
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(unpacked.DiskTemplate, &stat); err != nil || stat.Size != DiskSize || stat.Blocks*512 > 32<<20 {
		t.Errorf("disk template: %d bytes, %d on disk, %v", stat.Size, stat.Blocks*512, err)
	}
	output := node(t, unpacked, dir, "ctr run --rm "+unpacked.Images["toolbox"]+" one echo hello")
	if !strings.Contains(output, "hello") {
		t.Errorf("got %s", output)
	}
}
