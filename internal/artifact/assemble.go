package artifact

import (
	"fmt"
	"os"
	"path/filepath"
)

// assemble makes the generation that the plans add up to, unless it is there.
func (b *builder) assemble(plans []plan, versions, without map[string]string) (*Set, error) {
	k, err := b.setKey(plans)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.o.CacheDir, "sets", b.o.Arch+"-"+k)
	b.begin("images")
	if set, err := readSet(dir); err == nil {
		b.done(true)
		return set, nil
	}
	if b.native() && os.Geteuid() != 0 {
		return nil, fmt.Errorf("images are unpacked by containerd, which needs root: run zdl build as root")
	}
	set := &Set{Arch: b.o.Arch, Versions: versions, Images: map[string]string{}, Without: without}
	set.at(filepath.Join(b.tmp, "set"))
	if err := b.linkPrograms(set, plans); err != nil {
		return nil, fmt.Errorf("collect the programs: %w", err)
	}
	if b.native() {
		if err := b.makeGolden(set, plans); err != nil {
			return nil, err
		}
	}
	if err := set.write(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Rename(set.Dir, dir); err != nil {
		return nil, fmt.Errorf("put the set into place: %w", err)
	}
	set.at(dir)
	return set, nil
}

// setKey is a hash of all programs and of what the images take from the host.
func (b *builder) setKey(plans []plan) (string, error) {
	k := newKey("set", recipe, b.o.Arch)
	byName := map[string]plan{}
	for _, p := range plans {
		k.add(filepath.Base(p.dir) + " " + p.version)
		byName[p.name] = p
	}
	if !b.native() {
		return k.String(), nil
	}
	layers, images, err := recipes(byName)
	if err != nil {
		return "", err
	}
	for _, i := range images {
		k.add(fmt.Sprintf("%+v", i))
	}
	for _, name := range []string{"base", "nft", "toolbox"} {
		for _, e := range layers[name] {
			k.add(fmt.Sprintf("%s %o %s %s", e.path, e.mode, e.link, e.data))
			if e.source != "" {
				if err := k.addFile(e.path, e.source); err != nil {
					return "", err
				}
			}
		}
	}
	return k.String(), nil
}

// linkPrograms hard-links the programs into the set: one inode, one copy on
// disk and in the page cache, whichever generation or path it is run from.
func (b *builder) linkPrograms(s *Set, plans []plan) error {
	for _, dir := range []string{s.Bin, s.CNI} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, p := range plans {
		var to string
		switch p.place {
		case inBin:
			to = s.Bin
		case inCNI:
			to = s.CNI
		default:
			continue
		}
		files, err := os.ReadDir(p.dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			from := filepath.Join(p.dir, file.Name())
			// The link of a symbolic link is that symbolic link.
			if err := os.Link(from, filepath.Join(to, file.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeGolden fills in the images, the golden root and the disk template.
func (b *builder) makeGolden(s *Set, plans []plan) error {
	byName := map[string]plan{}
	for _, p := range plans {
		byName[p.name] = p
	}
	images := filepath.Join(b.tmp, "images")
	var err error
	if s.Images, err = b.writeImages(byName, images); err != nil {
		return fmt.Errorf("build images: %w", err)
	}
	b.done(false)

	b.begin("golden")
	root := filepath.Join(b.tmp, "containerd")
	if err := b.unpackImages(s, images, root); err != nil {
		return fmt.Errorf("unpack images: %w", err)
	}
	if err := os.RemoveAll(images); err != nil {
		return err
	}
	b.done(false)

	b.begin("disk")
	tree := filepath.Join(b.tmp, "var")
	if err := splitGolden(root, s.Golden, filepath.Join(tree, "lib", "containerd")); err != nil {
		return fmt.Errorf("split the golden root: %w", err)
	}
	if err := shareInodes(s.Golden, plans); err != nil {
		return fmt.Errorf("share files with the programs: %w", err)
	}
	b.report(Event{Phase: "format"})
	if err := b.makeDisk(tree, s.DiskTemplate); err != nil {
		return fmt.Errorf("make the disk template: %w", err)
	}
	b.done(false)
	return nil
}
