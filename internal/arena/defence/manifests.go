package defence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Manifests are the files by which kubelets run the control plane.
type Manifests interface {
	// Nodes that run one, in the order in which they are changed.
	Nodes() []string
	// Path of a component's file on a node, as this program reaches it.
	Path(node, component string) string
	// Ready says why the node cannot be changed now: it is switched off; "" when
	// it can.
	Ready(node string) string
}

// writeManifest replaces a file as a whole. The kubelet watches the directory
// and reads every file in it, so the new one is made beside the directory.
func writeManifest(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	tmp := filepath.Join(filepath.Dir(dir), ".zdl-"+filepath.Base(path))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
