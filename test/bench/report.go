package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/artifact"
	"zdl/internal/lab"
)

// row is one figure: several measurements of the same thing.
type row struct {
	what, profile string
	unit          string
	values        []float64
	goal          float64 // at most; 0 means that it is only told
	note          string
}

type report struct {
	machine string
	rows    []row
}

func (r *report) add(what, profile, unit string, goal float64, note string, values ...float64) {
	r.rows = append(r.rows, row{what, profile, unit, values, goal, note})
	fmt.Fprintf(os.Stderr, "  %s (%s): %s\n", what, profile, r.rows[len(r.rows)-1].figure())
}

// figure is the median, and the smallest and the largest beside it.
func (r row) figure() string {
	v := slices.Sorted(slices.Values(r.values))
	if len(v) == 0 {
		return "-"
	}
	digits := 2
	if v[len(v)-1] >= 20 {
		digits = 0
	}
	text := fmt.Sprintf("%.*f %s", digits, median(v), r.unit)
	if len(v) > 1 {
		text += fmt.Sprintf(" (%.*f to %.*f, %d runs)", digits, v[0], digits, v[len(v)-1], len(v))
	}
	return text
}

// median of sorted values.
func median(v []float64) float64 {
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// verdict compares the median with the goal.
func (r row) verdict() string {
	switch {
	case r.goal == 0:
		return ""
	case median(slices.Sorted(slices.Values(r.values))) <= r.goal:
		return fmt.Sprintf("≤ %g %s: met", r.goal, r.unit)
	}
	return fmt.Sprintf("≤ %g %s: MISSED", r.goal, r.unit)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", r.machine)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tPROFILE\tMEDIAN (SPREAD)\tGOAL\tNOTE")
	for _, row := range r.rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", row.what, row.profile, row.figure(), row.verdict(), row.note)
	}
	table.Flush()
}

// The marks in a document between which the measured section stands.
const (
	sectionBegin = "<!-- bench -->"
	sectionEnd   = "<!-- /bench -->"
)

// writeMarkdown replaces the section of a document, or appends it.
func (r *report) writeMarkdown(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s, %s.\n\n| What | Profile | Median (spread) | Goal | Note |\n|---|---|---|---|---|\n", sectionBegin, r.machine, time.Now().UTC().Format("2006-01-02"))
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", row.what, row.profile, row.figure(), row.verdict(), row.note)
	}
	b.WriteString(sectionEnd)
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	text := string(old)
	begin, end := strings.Index(text, sectionBegin), strings.Index(text, sectionEnd)
	if begin >= 0 && end > begin {
		text = text[:begin] + b.String() + text[end+len(sectionEnd):]
	} else {
		text = strings.TrimRight(text, "\n") + "\n\n" + b.String() + "\n"
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// machine describes what the figures were taken on and with.
func machine() string {
	text := fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuModel())
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		text += fmt.Sprintf(", %d GiB of memory", (info.Totalram*uint64(info.Unit)+1<<29)>>30)
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		text += ", Linux " + unix.ByteSliceToString(uts.Release[:])
	}
	generation := "cgroup v1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		generation = "cgroup v2"
	}
	text += ", " + generation
	if set, err := artifact.Open(lab.DefaultDirs().Cache); err == nil {
		for _, name := range []string{"kubernetes", "etcd", "containerd"} {
			text += fmt.Sprintf(", %s %s", name, set.Versions[name])
		}
	}
	return text
}

func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if key, value, ok := strings.Cut(scanner.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
