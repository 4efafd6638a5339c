package artifact

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// programWithLibraries is a dynamically linked program of the host and
// everything it is linked against, at the same places in the layer.
func programWithLibraries(path string) ([]entry, error) {
	output, err := exec.Command("ldd", path).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w\n%s", path, err, output)
	}
	libraries, err := parseLDD(string(output))
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", path, err)
	}
	entries := []entry{{path: path, mode: 0o755, source: path}}
	for _, library := range libraries {
		entries = append(entries, entry{path: library, mode: 0o755, source: library})
	}
	return entries, nil
}

// parseLDD returns the files that ldd's output names, sorted.
func parseLDD(output string) ([]string, error) {
	var files []string
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 3 && fields[1] == "=>" && strings.HasPrefix(fields[2], "/"):
			files = append(files, fields[2])
		case len(fields) >= 3 && fields[1] == "=>":
			return nil, fmt.Errorf("%s is not installed", fields[0])
		case len(fields) >= 1 && strings.HasPrefix(fields[0], "/"): // the loader
			files = append(files, fields[0])
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
