package guest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func needGuest(t *testing.T) {
	t.Helper()
	if os.Getenv(InGuest) == "" {
		t.Skipf("runs in the virtual machine only: ZDL_TEST_VM=1 go test ./test/vm")
	}
}

// sh runs a line of shell and returns what it printed.
func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// TestKernelHasOnlyUnifiedCgroups makes sure that the lab is tested with
// cgroup v2 here and nothing else.
func TestKernelHasOnlyUnifiedCgroups(t *testing.T) {
	needGuest(t)
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Fatalf("/sys/fs/cgroup is no cgroup v2: type %#x, %v", fs.Type, err)
	}
	have := strings.Fields(sh(t, "cat /sys/fs/cgroup/cgroup.controllers"))
	for _, want := range []string{"cpuset", "cpu", "io", "memory", "pids"} {
		if !slices.Contains(have, want) {
			t.Errorf("controller %s is missing: %v", want, have)
		}
	}
	if v1 := strings.Fields(sh(t, "grep -c ' cgroup ' /proc/mounts || true")); v1[0] != "0" {
		t.Errorf("%s hierarchies of cgroup v1 are mounted", v1[0])
	}
}

// TestKernelEnforcesMemoryLimit shows that an OOM kill of a cgroup works under
// this kernel at all, so that a failure in the lab is the lab's.
func TestKernelEnforcesMemoryLimit(t *testing.T) {
	needGuest(t)
	dir := "/sys/fs/cgroup/memory-limit"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	for file, value := range map[string]string{"memory.max": "32M", "memory.swap.max": "0"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hog := exec.CommandContext(ctx, "tail", "/dev/zero")
	hog.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := hog.Run(); err == nil || ctx.Err() != nil {
		t.Fatalf("32 MiB did not stop a process that takes all it can get: %v", err)
	}
	if events := sh(t, "cat "+dir+"/memory.events"); !regexp.MustCompile(`(?m)^oom_kill [1-9]`).MatchString(events) {
		t.Errorf("no OOM kill was counted:\n%s", events)
	}
}

// TestKernelDelaysPackets measures netem between two namespaces.
func TestKernelDelaysPackets(t *testing.T) {
	needGuest(t)
	t.Cleanup(func() { exec.Command("sh", "-c", "ip netns del a; ip netns del b").Run() })
	sh(t, `ip netns add a; ip netns add b
		ip link add eth0 netns a type veth peer name eth0 netns b
		ip -n a addr add 198.18.0.1/24 dev eth0; ip -n a link set eth0 up
		ip -n b addr add 198.18.0.2/24 dev eth0; ip -n b link set eth0 up`)
	before := roundTrip(t, "/run/netns/a", "198.18.0.2")
	sh(t, "tc -n a qdisc add dev eth0 root netem delay 100ms")
	if after := roundTrip(t, "/run/netns/a", "198.18.0.2"); after < 100 || after > before+200 {
		t.Errorf("the fastest of ten round trips took %.1f ms with 100 ms of delay, %.1f ms without", after, before)
	}
}

// roundTrip is the fastest of ten pings from a network namespace, in milliseconds.
func roundTrip(t *testing.T, netns, addr string) float64 {
	t.Helper()
	out := sh(t, "nsenter --net="+netns+" ping -q -i 0.2 -c 10 -W 5 "+addr)
	match := regexp.MustCompile(`= ([0-9.]+)/`).FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("ping printed no round trip:\n%s", out)
	}
	ms, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// TestKernelBuildsNodes goes through what a node and the fabric are made of.
func TestKernelBuildsNodes(t *testing.T) {
	needGuest(t)
	for name, script := range map[string]string{
		"bridge, veth, vxlan, dummy and ifb": `unshare --net sh -ec '
			ip link add br0 type bridge; ip link add v0 type veth peer name v1; ip link set v0 master br0
			ip link add x0 type vxlan id 7 dstport 4789 dev br0; ip link add d0 type dummy; ip link add i0 type ifb'`,
		"nftables with queue, in inet and bridge": `unshare --net sh -ec '
			nft add table inet t; nft add chain inet t c "{ type filter hook forward priority 0; }"
			nft add rule inet t c meta l4proto tcp queue num 100 bypass
			nft add table bridge p; nft add set bridge p s "{ typeof iifname . oifname; }"
			nft list ruleset | grep -q "queue.*100"'`,
		"overlay on a loop-mounted ext4": `
			d=$(mktemp -d -p /var/tmp); truncate -s 64M $d/img; mke2fs -q -t ext4 $d/img; mkdir $d/m
			mount -o loop $d/img $d/m; mkdir $d/m/lower $d/m/upper $d/m/work $d/m/top; echo below > $d/m/lower/f
			mount -t overlay overlay -o lowerdir=$d/m/lower,upperdir=$d/m/upper,workdir=$d/m/work $d/m/top
			echo above > $d/m/top/f; grep -q below $d/m/lower/f; grep -q above $d/m/upper/f
			umount $d/m/top; umount $d/m; rm -r $d; test -z "$(losetup -a)"`,
		"namespaces of every kind": `unshare --net --mount --pid --uts --ipc --cgroup --fork sh -ec '
			mount -t cgroup2 cgroup2 /mnt; test -f /mnt/cgroup.procs; hostname inside'
			test "$(hostname)" != inside`,
	} {
		t.Run(name, func(t *testing.T) { sh(t, script) })
	}
}
