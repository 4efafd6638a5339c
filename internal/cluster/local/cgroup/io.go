package cgroup

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Files of blk-throttle on v1 (Documentation/admin-guide/cgroup-v1/blkio-controller.rst).
var throttleFiles = []string{"blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"}

// SetIOPS lets a device ("7:3") serve the group at most that many reads and as
// many writes a second, 0: any number. On v2 this holds for the group as a whole.
// v1 does not look at groups above, so there it is set in each group below, too,
// that exists now, and holds for each by itself.
func (p Part) SetIOPS(device string, iops int) error { return p.setIOPS(device, iops, !p.v2()) }

// SetIOPSEverywhere is SetIOPS for every group below as well, in both generations.
func (p Part) SetIOPSEverywhere(device string, iops int) error { return p.setIOPS(device, iops, true) }

func (p Part) setIOPS(device string, iops int, below bool) error {
	return p.eachIO(below, func(dir string) error {
		if p.v2() {
			value := "max"
			if iops > 0 {
				value = strconv.Itoa(iops)
			}
			return write(dir, "io.max", fmt.Sprintf("%s riops=%s wiops=%s", device, value, value))
		}
		for _, file := range throttleFiles {
			if err := write(dir, file, device+" "+strconv.Itoa(iops)); err != nil {
				return err
			}
		}
		return nil
	})
}

// IOPS lists, by group as the machine sees it, what limits of a device SetIOPS
// has left; empty when there is none.
func (p Part) IOPS(device string) (map[string]string, error) {
	out := map[string]string{}
	files := throttleFiles
	if p.v2() {
		files = []string{"io.max"}
	}
	top, err := p.group.Part("").dir("blkio")
	if err != nil {
		return nil, err
	}
	err = p.eachIO(true, func(dir string) error {
		for _, file := range files {
			text, err := read(dir, file)
			if err != nil {
				return err
			}
			for line := range strings.Lines(text) {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), device+" "); ok {
					out[strings.TrimPrefix(dir, top)+"/"+file] = rest
				}
			}
		}
		return nil
	})
	return out, err
}

// eachIO calls do for the group's directory, and for those below it. A group that
// is removed meanwhile, or has no such limits, does not matter below.
func (p Part) eachIO(below bool, do func(dir string) error) error {
	dir, err := p.dir("blkio")
	if err != nil {
		return err
	}
	top := dir
	tolerant := func(dir string) error {
		if err := do(dir); err != nil && !(Gone(err) && (dir != top || !exists(dir))) {
			return fmt.Errorf("limit input and output of %s: %w", filepath.Base(dir), err)
		}
		return nil
	}
	if below {
		return walk(dir, tolerant)
	}
	return tolerant(dir)
}
