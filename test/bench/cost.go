package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/cluster/local/cgroup"
	"zdl/test/harness"
)

// memory is the sum of the proportional set sizes of all processes of a lab and
// its daemon, in bytes, and the five greatest programs in words.
func memory(l *harness.Lab) (total float64, top string, err error) {
	processes, err := l.Processes("")
	if err != nil {
		return 0, "", err
	}
	daemon, err := l.Daemon()
	if err != nil {
		return 0, "", err
	}
	by := map[string]float64{}
	for _, p := range append(processes, daemon) {
		pss, err := pss(p.PID)
		if err != nil {
			continue // it has ended
		}
		total += pss
		by[p.Name] += pss
	}
	names := make([]string, 0, len(by))
	for n := range by {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return by[names[i]] > by[names[j]] })
	var words []string
	for _, n := range names[:min(6, len(names))] {
		words = append(words, fmt.Sprintf("%s %.0f", n, by[n]/1e6))
	}
	return total, strings.Join(words, ", "), nil
}

func pss(pid int) (float64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		if f := strings.Fields(scanner.Text()); len(f) == 3 && f[0] == "Pss:" {
			kilobytes, err := strconv.ParseFloat(f[1], 64)
			return kilobytes * 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss for process %d", pid)
}

// cpuUse is the CPU time that a lab and its daemon use, in percent of one core.
func cpuUse(ctx context.Context, l *harness.Lab, over time.Duration) (total, daemon float64, err error) {
	groups, own, err := cpuTimes(l)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := rest(ctx, over); err != nil {
		return 0, 0, err
	}
	groups2, own2, err := cpuTimes(l)
	if err != nil {
		return 0, 0, err
	}
	span := time.Since(begin).Seconds()
	daemon = 100 * (own2 - own) / span
	return 100*(groups2-groups)/span + daemon, daemon, nil
}

// cpuTimes are seconds of CPU: of all machines' control groups, which count
// processes that have ended too, and of the daemon.
func cpuTimes(l *harness.Lab) (machines, daemon float64, err error) {
	system, err := cgroup.Detect()
	if err != nil {
		return 0, 0, err
	}
	inits, err := l.Inits()
	if err != nil {
		return 0, 0, err
	}
	for name := range inits {
		group := system.Group(l.Name, name)
		if system.Version == cgroup.V1 {
			data, err := os.ReadFile(group.Path("cpuacct") + "/cpuacct.usage")
			if err != nil {
				return 0, 0, err
			}
			nanoseconds, err := strconv.ParseFloat(trimmed(data), 64)
			if err != nil {
				return 0, 0, err
			}
			machines += nanoseconds / 1e9
			continue
		}
		data, err := os.ReadFile(group.Path("cpu") + "/cpu.stat")
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(data)) {
			if value, ok := strings.CutPrefix(trimmed([]byte(line)), "usage_usec "); ok {
				microseconds, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return 0, 0, err
				}
				machines += microseconds / 1e6
			}
		}
	}
	p, err := l.Daemon()
	if err != nil {
		return 0, 0, err
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return 0, 0, err
	}
	// Behind the name: state is field 3, utime 14, stime 15, in ticks of 10 ms.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	for _, i := range []int{14 - 3, 15 - 3} {
		ticks, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, 0, err
		}
		daemon += ticks / 100
	}
	return machines, daemon, nil
}

func bootID(ctx context.Context, l *harness.Lab, node string) (string, error) {
	n, err := l.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return n.Status.NodeInfo.BootID, nil
}
