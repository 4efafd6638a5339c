package lab

import "path/filepath"

// Network is the path of a machine's network namespace, for programs that are
// to run where that machine's connections begin (nsenter --net=PATH).
func (d Dirs) Network(name, machine string) string {
	return filepath.Join(d.run(name), "netns", machine)
}
