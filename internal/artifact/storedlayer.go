package artifact

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// storedLayer is what layer.json says of the layer beside it.
type storedLayer struct {
	Digest v1.Hash `json:"digest"`
	DiffID v1.Hash `json:"diffID"`
	Size   int64   `json:"size"`
}

func (l *layerFile) describe(path string) error {
	data, err := json.Marshal(storedLayer{l.digest, l.diffID, l.size})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// openLayer opens a layer that was made by an earlier step.
func openLayer(dir string) (v1.Layer, error) {
	data, err := os.ReadFile(filepath.Join(dir, "layer.json"))
	if err != nil {
		return nil, err
	}
	var s storedLayer
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return partial.CompressedToLayer(&layerFile{path: filepath.Join(dir, "layer"), digest: s.Digest, diffID: s.DiffID, size: s.Size})
}
