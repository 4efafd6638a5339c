package artifact

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// openDockerArchive checks a tar as `docker save` writes it.
func openDockerArchive(path, plain, arch, rename string) (*Archive, error) {
	open := func() (io.ReadCloser, error) { return os.Open(plain) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("read manifest.json of %s: %w", path, err)
	}
	if len(manifest) == 0 {
		return nil, fmt.Errorf("%s holds no image", path)
	}
	if rename != "" && len(manifest) > 1 {
		return nil, fmt.Errorf("%s holds %d images: a name can be given to one only", path, len(manifest))
	}
	a := &Archive{Path: path, Format: "docker"}
	for i := range manifest {
		d := &manifest[i]
		if rename != "" {
			d.RepoTags = []string{rename}
		}
		if len(d.RepoTags) == 0 {
			return nil, fmt.Errorf("%s: image %s has no name; give one: --as NAME:TAG", path, d.Config)
		}
		one, err := checkDockerImage(plain, *d, arch)
		if err != nil {
			return nil, fmt.Errorf("%s: image %s: %w", path, d.RepoTags[0], err)
		}
		for j, tag := range d.RepoTags {
			if d.RepoTags[j], err = fullName(tag); err != nil {
				return nil, fmt.Errorf("%s: image name %q: %w", path, tag, err)
			}
			one.Name = d.RepoTags[j]
			a.Images = append(a.Images, one)
		}
	}
	a.stream = func(w io.Writer) error { return streamDockerArchive(w, plain, manifest) }
	return a, nil
}

// checkDockerImage reads the parts of one image and compares them with the
// digests in its configuration.
func checkDockerImage(path string, d tarball.Descriptor, arch string) (ArchivedImage, error) {
	parts := map[string]string{} // name in the tar → digest of the uncompressed content
	sizes := map[string]int64{}
	var config []byte
	wanted := map[string]bool{d.Config: true}
	for _, l := range d.Layers {
		wanted[l] = true
	}
	links := map[string]string{}
	err := eachEntry(path, func(h *tar.Header, content io.Reader) error {
		if h.Typeflag == tar.TypeSymlink { // docker shares equal layers that way
			links[h.Name] = h.Linkname
		}
		if h.Typeflag != tar.TypeReg || !wanted[h.Name] && !strings.HasSuffix(h.Name, "/layer.tar") {
			return nil
		}
		if h.Name == d.Config {
			var err error
			config, err = io.ReadAll(io.LimitReader(content, 8<<20))
			return err
		}
		sum, err := plainDigest(content)
		parts[h.Name], sizes[h.Name] = sum, h.Size
		return err
	})
	if err != nil {
		return ArchivedImage{}, err
	}
	if config == nil {
		return ArchivedImage{}, fmt.Errorf("damaged: the configuration %s is not in the archive", d.Config)
	}
	var file v1.ConfigFile
	if err := json.Unmarshal(config, &file); err != nil {
		return ArchivedImage{}, fmt.Errorf("damaged: configuration: %w", err)
	}
	if err := checkPlatform(&file, arch); err != nil {
		return ArchivedImage{}, err
	}
	if len(file.RootFS.DiffIDs) != len(d.Layers) {
		return ArchivedImage{}, fmt.Errorf("damaged: %d layers in the archive, %d in the configuration", len(d.Layers), len(file.RootFS.DiffIDs))
	}
	id := sha256.Sum256(config)
	one := ArchivedImage{ID: "sha256:" + hex.EncodeToString(id[:]), Platform: file.OS + "/" + file.Architecture}
	for i, layer := range d.Layers {
		if target, ok := links[layer]; ok {
			layer = strings.TrimPrefix(target, "../")
		}
		sum, ok := parts[layer]
		if !ok {
			return ArchivedImage{}, fmt.Errorf("damaged: layer %s is not in the archive", d.Layers[i])
		}
		if want := file.RootFS.DiffIDs[i].String(); sum != want {
			return ArchivedImage{}, fmt.Errorf("damaged: layer %s has digest %s, should have %s", d.Layers[i], sum, want)
		}
		one.Size += sizes[layer]
	}
	return one, nil
}

// plainDigest is the digest of a layer's content, which may be compressed.
func plainDigest(content io.Reader) (string, error) {
	plain, err := uncompressed(content)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, plain); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// streamDockerArchive copies the tar with another manifest.json.
func streamDockerArchive(w io.Writer, path string, manifest tarball.Manifest) error {
	data, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	err = eachEntry(path, func(h *tar.Header, content io.Reader) error {
		switch h.Name {
		case "manifest.json":
			h.Size, content = int64(len(data)), bytes.NewReader(data)
		case "repositories": // says the names again, in the format before manifest.json
			return nil
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(t, content)
		return err
	})
	return errors.Join(err, t.Close())
}
