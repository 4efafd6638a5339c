package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"zdl/internal/cluster/local/cgroup"
)

const (
	meminfoPath = "/proc/meminfo"
	// meminfoEvery is how often the machine's memory facts follow its use.
	meminfoEvery = 10 * time.Second
)

// usage is what a machine's control group says of its memory, in bytes.
type usage struct {
	used     int64 // all that is charged, caches included
	cache    int64 // of that, pages of files
	inactive int64 // of that, what can be dropped at once
}

// followMemory keeps the machine's /proc/meminfo true, for ever. The file has
// always the same length and is written in one piece, so no reader sees a mix.
func followMemory(s *cgroup.System, total int64) {
	for range time.Tick(meminfoEvery) {
		now, err := readUsage(s)
		if err != nil {
			continue
		}
		old, err := os.ReadFile(meminfoPath)
		if err != nil {
			continue
		}
		if f, err := os.OpenFile(ownFact(meminfoPath), os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteAt(meminfo(old, total, now), 0)
			f.Close()
		}
	}
}

// readUsage reads the group at the root of the machine's own cgroup namespace.
func readUsage(s *cgroup.System) (usage, error) {
	dir, used, cache, inactive := "/sys/fs/cgroup/memory/", "memory.usage_in_bytes", "total_cache", "total_inactive_file"
	if s.Version == cgroup.V2 {
		dir, used, cache, inactive = "/sys/fs/cgroup/", "memory.current", "file", "inactive_file"
	}
	var u usage
	b, err := os.ReadFile(dir + used)
	if err != nil {
		return u, err
	}
	if u.used, err = strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err != nil {
		return u, err
	}
	if b, err = os.ReadFile(dir + "memory.stat"); err != nil {
		return u, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case cache:
			u.cache = n
		case inactive:
			u.inactive = n
		}
	}
	return u, nil
}

// meminfo is /proc/meminfo of a machine with total bytes of memory: the lines
// of the host's, those that the machine's group knows with its values and the
// others 0.
func meminfo(host []byte, total int64, u usage) []byte {
	known := map[string]int64{
		"MemTotal": total, "MemFree": max(0, total-u.used), "MemAvailable": max(0, total-u.used+u.inactive),
		"Cached": u.cache, "Inactive(file)": u.inactive, "Active(file)": u.cache - u.inactive,
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(host)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		unit := ""
		if strings.HasSuffix(value, " kB") {
			unit = " kB"
		}
		switch name {
		case "Hugepagesize", "VmallocTotal": // the kernel's, not the host's
			out.WriteString(line)
		default:
			fmt.Fprintf(&out, "%-16s%8d%s\n", name+":", known[name]/1024, unit)
		}
	}
	return out.Bytes()
}
