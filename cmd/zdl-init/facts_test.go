package main

import (
	"strings"
	"testing"

	"zdl/internal/cluster/local/machine/boot"
)

func TestMeminfoShowsTheMachinesMemory(t *testing.T) {
	const host = "MemTotal:       24684092 kB\nMemFree:        23000000 kB\nMemAvailable:   23000000 kB\nCached:          400000 kB\n" +
		"SwapTotal:       1000000 kB\nHugePages_Total:       3\nHugepagesize:       2048 kB\n"
	got := string(meminfo([]byte(host), 2<<30, usage{}))
	want := "MemTotal:        2097152 kB\nMemFree:         2097152 kB\nMemAvailable:    2097152 kB\nCached:                0 kB\n" +
		"SwapTotal:             0 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestMeminfoFollowsUseAndKeepsItsLength(t *testing.T) {
	const host = "MemTotal:       24684092 kB\nMemFree:        23000000 kB\nMemAvailable:   23000000 kB\nCached:          400000 kB\nInactive(file):  300000 kB\n"
	empty := meminfo([]byte(host), 1<<30, usage{})
	used := meminfo(empty, 1<<30, usage{used: 512 << 20, cache: 256 << 20, inactive: 128 << 20})
	want := "MemTotal:        1048576 kB\nMemFree:          524288 kB\nMemAvailable:     655360 kB\nCached:           262144 kB\nInactive(file):   131072 kB\n"
	if string(used) != want {
		t.Errorf("got\n%swant\n%s", used, want)
	}
	if len(used) != len(empty) {
		t.Errorf("its length changed from %d to %d", len(empty), len(used))
	}
}

func TestHostsFileNamesEveryMachineInOrder(t *testing.T) {
	files := base(&boot.Plan{Name: "worker-1", Hosts: map[string]string{"worker-1": "198.18.1.21", "lb-1": "198.18.0.11"}})
	got := string(files["/etc/hosts"].Data)
	if !strings.HasSuffix(got, "198.18.0.11\tlb-1\n198.18.1.21\tworker-1\n") || !strings.HasPrefix(got, "127.0.0.1\tlocalhost\n") {
		t.Errorf("got\n%s", got)
	}
}
