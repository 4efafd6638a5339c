package artifact

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
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
		one, err := checkOCIImage(dir, img, d.Digest, arch)
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
// (go-containerregistry's own check knows only layers compressed by gzip.)
func checkOCIImage(dir string, img v1.Image, digest v1.Hash, arch string) (ArchivedImage, error) {
	if _, err := checkBlob(dir, v1.Descriptor{Digest: digest}, false); err != nil {
		return ArchivedImage{}, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return ArchivedImage{}, fmt.Errorf("read its manifest: %w", err)
	}
	if _, err := checkBlob(dir, manifest.Config, false); err != nil {
		return ArchivedImage{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return ArchivedImage{}, fmt.Errorf("read its configuration: %w", err)
	}
	if err := checkPlatform(config, arch); err != nil {
		return ArchivedImage{}, err
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return ArchivedImage{}, fmt.Errorf("damaged: %d layers in the manifest, %d in the configuration", len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	one := ArchivedImage{ID: manifest.Config.Digest.String(), Platform: config.OS + "/" + config.Architecture}
	for i, l := range manifest.Layers {
		plain, err := checkBlob(dir, l, true)
		if err != nil {
			return ArchivedImage{}, err
		}
		if want := config.RootFS.DiffIDs[i].String(); plain != want {
			return ArchivedImage{}, fmt.Errorf("damaged: the content of layer %s has digest %s, should have %s", l.Digest, plain, want)
		}
		one.Size += l.Size
	}
	return one, nil
}

// checkBlob compares a blob with its descriptor. For a layer it returns the
// digest of the content without compression.
func checkBlob(dir string, d v1.Descriptor, isLayer bool) (plain string, err error) {
	file, err := os.Open(filepath.Join(dir, "blobs", d.Digest.Algorithm, d.Digest.Hex))
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("incomplete: blob %s is not there", d.Digest)
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	raw := &counted{w: io.Discard, h: sha256.New()}
	var unpack error // told only when the blob is what it should be
	if isLayer {
		plain, unpack = plainDigest(io.TeeReader(file, raw))
	}
	if _, err := io.Copy(raw, file); err != nil {
		return "", err
	}
	if raw.hash() != d.Digest {
		return "", fmt.Errorf("damaged: blob %s has digest %s", d.Digest, raw.hash())
	}
	if d.Size != 0 && d.Size != raw.n {
		return "", fmt.Errorf("damaged: blob %s has %d bytes, should have %d", d.Digest, raw.n, d.Size)
	}
	return plain, unpack
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
