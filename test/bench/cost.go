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
// its daemon, in bytes, and the greatest programs in words, in MB.
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
		by[p.Name] += pss / 1e6
	}
	return total, greatest(by, "%.0f"), nil
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

// cpuUse is the CPU time that a lab and its daemon use, in percent of one core,
// and what of it the greatest programs used, in words. The sum counts processes
// that come and go, such as health checks, the programs only those that stay.
func cpuUse(ctx context.Context, l *harness.Lab, over time.Duration) (total float64, top string, err error) {
	groups, own, err := cpuTimes(l)
	if err != nil {
		return 0, "", err
	}
	before, err := byProcess(l)
	if err != nil {
		return 0, "", err
	}
	begin := time.Now()
	if err := rest(ctx, over); err != nil {
		return 0, "", err
	}
	groups2, own2, err := cpuTimes(l)
	if err != nil {
		return 0, "", err
	}
	after, err := byProcess(l)
	if err != nil {
		return 0, "", err
	}
	span := time.Since(begin).Seconds()
	use := map[string]float64{"zdl daemon": 100 * (own2 - own) / span}
	for p, seconds := range after {
		if was, ok := before[p]; ok {
			use[p.Name] += 100 * (seconds - was) / span
		}
	}
	return 100 * (groups2 - groups + own2 - own) / span, greatest(use, "%.1f"), nil
}

// byProcess are the seconds of CPU of each process of the machines.
func byProcess(l *harness.Lab) (map[harness.Process]float64, error) {
	processes, err := l.Processes("")
	if err != nil {
		return nil, err
	}
	out := map[harness.Process]float64{}
	for _, p := range processes {
		if seconds, err := cpuTime(p.PID); err == nil { // or it has ended
			out[p] = seconds
		}
	}
	return out, nil
}

// greatest lists the programs with the most of something.
func greatest(by map[string]float64, format string) string {
	names := make([]string, 0, len(by))
	for n := range by {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return by[names[i]] > by[names[j]] })
	var words []string
	for _, n := range names[:min(8, len(names))] {
		words = append(words, fmt.Sprintf("%s "+format, n, by[n]))
	}
	return strings.Join(words, ", ")
}

// cpuTime is what a process has used, in seconds, its waited-for children not
// included.
func cpuTime(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Behind the name: state is field 3, utime 14, stime 15, in ticks of 10 ms.
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	sum := 0.0
	for _, i := range []int{14 - 3, 15 - 3} {
		ticks, err := strconv.ParseFloat(f[i], 64)
		if err != nil {
			return 0, err
		}
		sum += ticks / 100
	}
	return sum, nil
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
	daemon, err = cpuTime(p.PID)
	return machines, daemon, err
}

func bootID(ctx context.Context, l *harness.Lab, node string) (string, error) {
	n, err := l.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return n.Status.NodeInfo.BootID, nil
}
