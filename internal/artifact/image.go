package artifact

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Registry is the name under which all images of a lab are known. No such
// registry exists: the images are on every node from the start.
const Registry = "zdl.local"

const (
	// pauseVersion is what kubeadm 1.36 expects: PauseVersion in
	// cmd/kubeadm/app/constants/constants.go.
	pauseVersion = "3.10.2"
)

// ownVersions are those of this project's own programs.
var ownVersions = map[string]string{"web": "v1", "shop": "v1"}

// ShopServices are the services of the shop: each is an image of its own, of one
// and the same layer, that differs in its entrypoint.
var ShopServices = []string{"web", "catalogue", "cart", "user", "shipping", "ratings", "payment", "dispatch"}

// shopUser runs the shop's services and its document store.
const shopUser = "65532:65532"

// users run the programs of images whose manifests do not say it themselves.
var users = map[string]string{"ferretdb": shopUser}

// image is what goes into a container image.
type image struct {
	name, version string
	layers        []string // names of layers, bottom first
	entrypoint    []string
	command       []string
	user          string
	env           []string // NAME=value; nil is the usual PATH
}

func (i image) reference() string { return Registry + "/" + i.name + ":" + i.version }

const binDir = "/usr/local/bin/"

// baseLayer is what any program expects of a root file system.
func baseLayer() []entry {
	return []entry{
		{path: "/etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n")},
		{path: "/etc/group", mode: 0o644, data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{path: "/etc/nsswitch.conf", mode: 0o644, data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
		{path: "/root", mode: 0o700},
		{path: "/run", mode: 0o755},
		{path: "/tmp", mode: 0o1777},
		{path: "/var/tmp", mode: 0o1777},
	}
}

// recipes returns the layers by name and the images made of them. All
// programs of Kubernetes share one layer.
func recipes(plans map[string]plan) (layers map[string][]entry, images []image, err error) {
	nft, err := lookSystem("nft")
	if err != nil {
		return nil, nil, err
	}
	nftLayer, err := programWithLibraries(nft)
	if err != nil {
		return nil, nil, err
	}
	busybox, applets, busyboxVersion, err := inspectBusybox()
	if err != nil {
		return nil, nil, err
	}
	layers = map[string][]entry{
		"base":  baseLayer(),
		"nft":   nftLayer,
		"pause": {{path: "/pause", mode: 0o755, source: plans["pause"].program("pause")}},
		"etcd": {
			{path: binDir + "etcd", mode: 0o755, source: plans["etcd"].program("etcd")},
			{path: binDir + "etcdctl", mode: 0o755, source: plans["etcd"].program("etcdctl")},
			{path: binDir + "etcdutl", mode: 0o755, source: plans["etcd"].program("etcdutl")},
		},
		"toolbox": busyboxLayer(busybox, applets),
	}
	k8s := plans["kubernetes"]
	layers["kubernetes"] = []entry{{path: binDir + "kubernetes", mode: 0o755, source: k8s.program("kubernetes")}}
	for _, link := range k8s.links {
		layers["kubernetes"] = append(layers["kubernetes"], entry{path: binDir + link, link: "kubernetes"})
	}
	images = []image{
		{name: "pause", version: pauseVersion, layers: []string{"pause"}, entrypoint: []string{"/pause"}, user: "65535:65535"},
		{name: "etcd", version: plans["etcd"].version, layers: []string{"base", "etcd"}, entrypoint: []string{binDir + "etcd"}},
		{name: "toolbox", version: busyboxVersion, layers: []string{"base", "toolbox"}, command: []string{"/bin/sh"}},
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		i := image{name: name, version: k8s.version, layers: []string{"base", "kubernetes"}, entrypoint: []string{binDir + name}}
		if name == "kube-proxy" {
			i.layers = append(i.layers, "nft")
		}
		images = append(images, i)
	}
	for _, name := range []string{"coredns", "skipper", "kube-network-policies", "metrics-server", "local-path-provisioner", "web", "ferretdb"} {
		layers[name] = []entry{{path: binDir + name, mode: 0o755, source: plans[name].program(name)}}
		images = append(images, image{name: name, version: plans[name].version, layers: []string{"base", name}, entrypoint: []string{binDir + name}, user: users[name]})
	}
	layers["shop"] = []entry{{path: binDir + "shop", mode: 0o755, source: plans["shop"].program("shop")}}
	images = append(images, shopImages(plans["shop"].version)...)
	for _, d := range debianImages {
		if p, ok := plans[d.name]; ok {
			images = append(images, d.image(p.version)) // its layer is made already
		}
	}
	return layers, images, nil
}

// shopImages are one and the same layer, entered eight ways.
func shopImages(version string) []image {
	var out []image
	for _, service := range ShopServices {
		out = append(out, image{name: ShopImage(service), version: version, layers: []string{"base", "shop"}, entrypoint: []string{binDir + "shop", service}, user: shopUser})
	}
	return out
}

// ShopImage is the short name of the image of one of the shop's services.
func ShopImage(service string) string { return "shop-" + service }

// inspectBusybox asks the host's busybox for its version and what it can do.
func inspectBusybox() (path string, applets []string, version string, err error) {
	if path, err = findBusybox(); err != nil {
		return "", nil, "", err
	}
	list, err := exec.Command(path, "--list-full").Output()
	if err != nil {
		return "", nil, "", fmt.Errorf("%s --list-full: %w", path, err)
	}
	help, err := exec.Command(path).CombinedOutput()
	if err != nil {
		return "", nil, "", fmt.Errorf("%s: %w", path, err)
	}
	fields := strings.Fields(string(help))
	if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") {
		return "", nil, "", fmt.Errorf("%s does not tell its version", path)
	}
	return path, strings.Fields(string(list)), fields[1], nil
}

func busyboxLayer(path string, applets []string) []entry {
	entries := []entry{{path: "/bin/busybox", mode: 0o755, source: path}}
	for _, applet := range applets {
		// Applets print as "bin/sh", "usr/bin/wget", "linuxrc".
		if applet = "/" + applet; applet != "/bin/busybox" && applet != "/linuxrc" {
			entries = append(entries, entry{path: applet, link: "/bin/busybox"})
		}
	}
	return entries
}

// writeImages writes all images into one OCI layout at dir and returns their
// references by name.
func (b *builder) writeImages(plans map[string]plan, dir string) (map[string]string, error) {
	recipes, images, err := recipes(plans)
	if err != nil {
		return nil, err
	}
	out, err := layout.Write(dir, empty.Index)
	if err != nil {
		return nil, err
	}
	layers := map[string]v1.Layer{}
	for name, entries := range recipes {
		b.report(Event{Phase: "layers", Detail: name})
		file, err := writeLayer(filepath.Join(b.tmp, "layer-"+name), entries)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", name, err)
		}
		if layers[name], err = partial.CompressedToLayer(file); err != nil {
			return nil, fmt.Errorf("layer %s: %w", name, err)
		}
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
	}
	for _, d := range debianImages {
		if p, ok := plans[d.name]; ok {
			if layers[d.name], err = openLayer(p.dir); err != nil {
				return nil, fmt.Errorf("layer %s: %w", d.name, err)
			}
		}
	}
	references := map[string]string{}
	for _, i := range images {
		img, err := i.assemble(layers, b.o.Arch)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", i.name, err)
		}
		name := layout.WithAnnotations(map[string]string{"io.containerd.image.name": i.reference()})
		if err := out.AppendImage(img, name); err != nil {
			return nil, fmt.Errorf("image %s: %w", i.name, err)
		}
		references[i.name] = i.reference()
	}
	return references, nil
}

func (i image) assemble(layers map[string]v1.Layer, arch string) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	var stack []v1.Layer
	for _, name := range i.layers {
		stack = append(stack, layers[name])
	}
	img, err := mutate.AppendLayers(img, stack...)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	env := i.env
	if env == nil {
		env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{
		Entrypoint: i.entrypoint,
		Cmd:        i.command,
		User:       i.user,
		Env:        env,
		Labels:     map[string]string{"org.opencontainers.image.version": i.version},
	}
	return mutate.ConfigFile(img, config)
}
