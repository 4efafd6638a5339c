package guest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestTraceNoticesWhatIsLeft leaves one thing of each kind, so that a smoke
// test which finds nothing has looked.
func TestTraceNoticesWhatIsLeft(t *testing.T) {
	needGuest(t)
	sh(t, `truncate -s 8M /var/lib/img; mkdir -p /var/lib/zdl/lab; modprobe loop
		ip netns add first; ip netns del first # the directory stays for good`)
	before, err := Take("/var/lib/zdl")
	if err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "1234")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	sh(t, `mkdir /sys/fs/cgroup/left /run/left; touch /tmp/left /var/lib/zdl/lab/kept
		ip netns add left; ip link add left0 type dummy; nft add table inet left
		losetup /dev/loop5 /var/lib/img; sysctl -qw kernel.panic=7; mount -t tmpfs left /run/left`)
	found, err := Take("/var/lib/zdl")
	if err != nil {
		t.Fatal(err)
	}
	changes := found.Since(before)
	for _, want := range []string{
		"+ process ", "+ file /sys/fs/cgroup/left", "+ file /run/left", "+ file /tmp/left", "+ file /run/netns/left",
		"+ link left0", "+ packet filter table inet left", "+ loop device /dev/loop5", "+ sysctl /proc/sys/kernel/panic = 7",
		"- sysctl /proc/sys/kernel/panic = ", "+ mount / /run/left",
	} {
		if !slices.ContainsFunc(changes, func(c string) bool { return strings.HasPrefix(c, want) }) {
			t.Errorf("%q was not noticed", want)
		}
	}
	for _, c := range changes {
		if strings.Contains(c, "kept") {
			t.Errorf("what lies in the state directory is no residue: %s", c)
		}
	}
	if err := sleeper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleeper.Wait() // it was killed
	sh(t, `umount /run/left; rmdir /run/left /sys/fs/cgroup/left; rm /tmp/left /var/lib/zdl/lab/kept; sysctl -qw kernel.panic=-1
		ip netns del left; ip link del left0; nft delete table inet left; losetup -d /dev/loop5`)
	after, err := Take("/var/lib/zdl")
	if err != nil {
		t.Fatal(err)
	}
	if rest := after.Since(before); len(rest) > 0 {
		t.Errorf("all is cleared away, and yet:\n%s", strings.Join(rest, "\n"))
	}
}
