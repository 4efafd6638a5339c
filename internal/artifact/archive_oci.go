package artifact

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const (
	annotationName = "io.containerd.image.name"
	annotationRef  = "org.opencontainers.image.ref.name"
)

// openLayout checks the OCI layout at dir, which path stands for to the user.
func openLayout(path, dir, arch, rename string) (*Archive, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("read the OCI layout %s: %w", path, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the OCI layout %s: %w", path, err)
	}
	if len(manifest.Manifests) == 0 {
		return nil, fmt.Errorf("the OCI layout %s holds no image", path)
	}
	if rename != "" && len(manifest.Manifests) > 1 {
		return nil, fmt.Errorf("%s holds %d images: a name can be given to one only", path, len(manifest.Manifests))
	}
	a := &Archive{Path: path, Format: "oci"}
	chosen := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	blobs := map[v1.Hash]bool{}
	for _, d := range manifest.Manifests {
		full := rename
		if full == "" {
			if full, err = nameFromAnnotations(d.Annotations); err != nil {
				return nil, fmt.Errorf("%s: image %s: %w", path, d.Digest, err)
			}
		}
		img, d, err := forPlatform(index, d, arch)
		if err != nil {
			return nil, fmt.Errorf("%s: image %s: %w", path, full, err)
		}
		one, err := checkOCIImage(img, arch)
		if err != nil {
			return nil, fmt.Errorf("%s: image %s: %w", path, full, err)
		}
		one.Name = full
		a.Images = append(a.Images, one)
		d.Annotations = map[string]string{annotationName: full}
		chosen.Manifests = append(chosen.Manifests, d)
		if err := addBlobs(blobs, d.Digest, img); err != nil {
			return nil, fmt.Errorf("%s: image %s: %w", path, full, err)
		}
	}
	a.stream = func(w io.Writer) error { return streamLayout(w, dir, chosen, blobs) }
	return a, nil
}

// nameFromAnnotations is the image's full name as the tools write it that
// make layouts: containerd and docker in one annotation, skopeo and buildah in
// the other, where it may be just a tag.
func nameFromAnnotations(annotations map[string]string) (string, error) {
	if n := annotations[annotationName]; n != "" {
		return fullName(n)
	}
	if n := annotations[annotationRef]; strings.ContainsAny(n, "/:") {
		return fullName(n)
	}
	return "", fmt.Errorf("the layout does not say its name; give one: --as NAME:TAG")
}

// forPlatform follows a descriptor to the image for linux/arch.
func forPlatform(index v1.ImageIndex, d v1.Descriptor, arch string) (v1.Image, v1.Descriptor, error) {
	if d.MediaType.IsImage() {
		img, err := index.Image(d.Digest)
		return img, d, err
	}
	if !d.MediaType.IsIndex() {
		return nil, d, fmt.Errorf("media type %s is not an image", d.MediaType)
	}
	inner, err := index.ImageIndex(d.Digest)
	if err != nil {
		return nil, d, err
	}
	manifest, err := inner.IndexManifest()
	if err != nil {
		return nil, d, err
	}
	var offered []string
	for _, m := range manifest.Manifests {
		if m.Platform == nil || !m.MediaType.IsImage() || m.Platform.OS == "unknown" {
			continue
		}
		if m.Platform.OS == "linux" && m.Platform.Architecture == arch {
			img, err := inner.Image(m.Digest)
			return img, m, err
		}
		offered = append(offered, m.Platform.String())
	}
	return nil, d, fmt.Errorf("it is for %s; this lab runs linux/%s", strings.Join(offered, ", "), arch)
}

// checkOCIImage reads every byte of an image and compares it with its digest.
func checkOCIImage(img v1.Image, arch string) (ArchivedImage, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return ArchivedImage{}, fmt.Errorf("read its configuration: %w", err)
	}
	if err := checkPlatform(config, arch); err != nil {
		return ArchivedImage{}, err
	}
	if err := validate.Image(img); err != nil {
		return ArchivedImage{}, fmt.Errorf("damaged: %w", err)
	}
	id, err := img.ConfigName()
	if err != nil {
		return ArchivedImage{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return ArchivedImage{}, err
	}
	one := ArchivedImage{ID: id.String(), Platform: config.OS + "/" + config.Architecture}
	for _, l := range manifest.Layers {
		one.Size += l.Size
	}
	return one, nil
}

func checkPlatform(config *v1.ConfigFile, arch string) error {
	if config.OS != "linux" || config.Architecture != arch {
		return fmt.Errorf("it is for %s/%s; this lab runs linux/%s", config.OS, config.Architecture, arch)
	}
	return nil
}

// addBlobs adds the digests of all parts of an image.
func addBlobs(blobs map[v1.Hash]bool, digest v1.Hash, img v1.Image) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	blobs[digest] = true
	blobs[manifest.Config.Digest] = true
	for _, l := range manifest.Layers {
		blobs[l.Digest] = true
	}
	return nil
}

// streamLayout writes a layout of the chosen images only.
func streamLayout(w io.Writer, dir string, index *v1.IndexManifest, blobs map[v1.Hash]bool) error {
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	entries := []entry{
		{path: "/oci-layout", mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{path: "/index.json", mode: 0o644, data: data},
	}
	for hash := range blobs {
		path := "blobs/" + hash.Algorithm + "/" + hash.Hex
		entries = append(entries, entry{path: "/" + path, mode: 0o644, source: filepath.Join(dir, path)})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	t := tar.NewWriter(w)
	for _, e := range entries {
		if err := writeEntry(t, e); err != nil {
			return err
		}
	}
	return t.Close()
}
