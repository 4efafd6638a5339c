package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"zdl/internal/labfile"
)

// What an idle lab takes, by kind of node, in bytes. Memory is PSS; disk is
// room for what nodes write in their first hours: their sparse images begin
// with 45 MiB on a control plane, where etcd's log grows, and 10 on a worker.
const (
	controlPlaneMemory = 450 << 20
	workerMemory       = 130 << 20
	restMemory         = 200 << 20 // edge, routers, daemon
	controlPlaneDisk   = 256 << 20
	workerDisk         = 96 << 20
	restDisk           = 128 << 20

	// buildDisk is what the artifacts and Go's caches take while they are
	// built, in bytes.
	buildDisk = 8 << 30
)

// Needs is what a lab takes of its host at least, in bytes.
func Needs(l *labfile.Lab) (memory, disk int64) {
	memory, disk = restMemory, restDisk
	for _, n := range l.Nodes {
		if n.Role == labfile.ControlPlane {
			memory, disk = memory+controlPlaneMemory, disk+controlPlaneDisk
		} else {
			memory, disk = memory+workerMemory, disk+workerDisk
		}
	}
	return memory, disk
}

// checkResources measures what is free.
func checkResources(o Options) []Check {
	memory, disk := Needs(o.lab())
	return []Check{checkCPUs(), checkMemory(memory), checkDisk("disk", "free disk for the nodes", o.State, disk), checkFiles(), checkPorts()}
}

func checkCPUs() Check {
	c := Check{Name: "cpus", What: "CPUs", Status: OK, Detail: fmt.Sprintf("%d", runtime.NumCPU())}
	if runtime.NumCPU() < 2 {
		c.Status, c.Detail = Warn, "one; the highly available lab will be slow"
		c.Fix = "use: zdl up --profile small"
	}
	return c
}

// checkMemory fails only far below what a lab needs: pages that nobody uses
// can go to swap.
func checkMemory(need int64) Check {
	c := Check{Name: "memory", What: "free memory"}
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		c.Status, c.Detail = Skipped, err.Error()
		return c
	}
	defer f.Close()
	free, err := available(f)
	if err != nil {
		c.Status, c.Detail = Skipped, err.Error()
		return c
	}
	c.Status, c.Detail = OK, fmt.Sprintf("%s, this lab takes about %s", gib(free), gib(need))
	if free < need {
		c.Status, c.Fix = Warn, "free some memory, or use a smaller lab: zdl up --profile small"
	}
	if free < need/2 {
		c.Status, c.Detail = Fail, fmt.Sprintf("only %s of memory are free and this lab takes about %s", gib(free), gib(need))
	}
	return c
}

// available reads MemAvailable and SwapFree of /proc/meminfo, in bytes.
func available(r io.Reader) (int64, error) {
	var sum int64
	found := false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "MemAvailable:" && fields[0] != "SwapFree:" {
			continue
		}
		kb, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: %w", err)
		}
		found = found || fields[0] == "MemAvailable:"
		sum += kb << 10
	}
	if !found {
		return 0, errors.New("/proc/meminfo has no MemAvailable")
	}
	return sum, lines.Err()
}

func checkDisk(name, what, dir string, need int64) Check {
	c := Check{Name: name, What: what}
	at := existing(dir)
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		c.Status, c.Detail = Skipped, fmt.Sprintf("%s: %v", at, err)
		return c
	}
	free := int64(s.Bavail) * int64(s.Bsize)
	c.Status, c.Detail = OK, fmt.Sprintf("%s in %s, needed: %s", gib(free), dir, gib(need))
	if free < need {
		c.Status = Fail
		c.Detail = fmt.Sprintf("only %s are free in %s, needed: %s", gib(free), dir, gib(need))
		c.Fix = "free some space there, or set ZDL_STATE to a directory on another disk"
		if name == "build-disk" {
			c.Fix = "free some space there, or set ZDL_CACHE to a directory on another disk"
		}
	}
	return c
}

// openFiles is what an API server with many watches wants to be allowed.
const openFiles = 16384

func checkFiles() Check {
	c := Check{Name: "open-files", What: "open files per process", Status: OK}
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		c.Status, c.Detail = Skipped, err.Error()
		return c
	}
	c.Detail = fmt.Sprintf("up to %d", r.Max)
	if r.Max < openFiles {
		c.Status, c.Fix = Warn, fmt.Sprintf("ulimit -Hn %d", openFiles)
	}
	return c
}

// The page takes the first free port of these, unless told otherwise.
const firstPort, lastPort = 8420, 8499

func checkPorts() Check {
	c := Check{Name: "ports", What: fmt.Sprintf("a free port for the page, 127.0.0.1:%d to %d", firstPort, lastPort)}
	for port := firstPort; port <= lastPort; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			c.Status, c.Detail = OK, fmt.Sprintf("%d is free", port)
			return c
		}
	}
	c.Status, c.Detail = Fail, fmt.Sprintf("all of 127.0.0.1:%d to %d are taken", firstPort, lastPort)
	c.Fix = "choose one yourself: zdl up --listen 127.0.0.1:PORT"
	return c
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
