package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIdentityAndSyncedDataSurviveAPowerCycle(t *testing.T) {
	s := spec(t)
	m := boots(t, s)
	id, bootID := in(t, m, "cat /etc/machine-id"), in(t, m, "cat /proc/sys/kernel/random/boot_id")
	if id != m.MachineID() || bootID != m.BootID() {
		t.Errorf("inside: machine-id %s boot-id %s, outside: %s %s", id, bootID, m.MachineID(), m.BootID())
	}
	host, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	if bootID == strings.TrimSpace(string(host)) {
		t.Error("the machine tells the host's boot id")
	}
	in(t, m, "echo kept > /var/lib/data && sync -f /var/lib/data && echo lost > /run/state && echo lost > /etc/state")
	if err := m.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	m = boots(t, s)
	if again := in(t, m, "cat /etc/machine-id"); again != id {
		t.Errorf("machine-id became %s, was %s", again, id)
	}
	if again := in(t, m, "cat /proc/sys/kernel/random/boot_id"); again == bootID {
		t.Error("the boot id stayed the same over a power cycle")
	}
	if got := in(t, m, "cat /var/lib/data; ls /run/state /etc/state 2>/dev/null || true"); got != "kept" {
		t.Errorf("after the power cycle: %q, want the disk's file alone", got)
	}
}

func TestMachineSeesAndChangesNothingOfItsHost(t *testing.T) {
	s := spec(t)
	secret := filepath.Join(t.TempDir(), "secret")
	shown := t.TempDir()
	for _, f := range []string{secret, filepath.Join(shown, "file")} {
		if err := os.WriteFile(f, []byte("host"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.Binds = []Bind{{Source: shown, Target: "/opt/shown", ReadOnly: true}, {Source: filepath.Join(shown, "file"), Target: "/etc/one/file", ReadOnly: true}}
	s.Files = map[string]File{"/etc/zdl/own": {Data: []byte("own"), Mode: 0o600}}
	s.Hosts = map[string]string{"peer": "198.18.1.9"}
	m := boots(t, s)
	for script, want := range map[string]string{
		"test -e " + secret + " || echo hidden":                                          "hidden",
		"cat /opt/shown/file /etc/one/file":                                              "hosthost",
		"stat -c %a /etc/zdl/own; cat /etc/zdl/own":                                      "600\nown",
		"getent hosts peer | tr -s ' '":                                                  "198.18.1.9 peer",
		"touch /usr/x /bin/x /opt/shown/x /etc/ssl/certs/x 2>/dev/null; echo $?":         "1",
		"echo 1 2>/dev/null > /proc/sys/kernel/threads-max; cat /etc/hostname":           s.Name,
		"cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic":                      "1\n10",
		"ls /proc | grep -c '^[0-9]' | awk '{print $1 < 20}'":                            "1",
		"cat /proc/1/comm; hostname":                                                     "zdl-init\n" + s.Name,
		"cut -d: -f3 /proc/self/cgroup | sed 's,/system$,/,' | sort -u":                  "/",
		"ls /sys/class/net":                                                              "lo",
		"ip route show 2>/dev/null":                                                      "",
		"echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward":      "1",
		"findmnt -no PROPAGATION /":                                                      "shared",
		"ls /dev/sda /dev/vda /dev/mem /dev/loop0 /dev/kvm 2>/dev/null | wc -l":          "0",
		"mkdir -p /mnt/x && mount -t tmpfs x /mnt/x && touch /mnt/x/y && echo mountable": "mountable",
	} {
		if got, err := tryIn(t, m, script); got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", script, got, err, want)
		}
	}
	panicSeconds, err := os.ReadFile("/proc/sys/kernel/panic")
	if err != nil {
		t.Fatal(err)
	}
	in(t, m, "echo 77 > /proc/sys/kernel/panic")
	if now, _ := os.ReadFile("/proc/sys/kernel/panic"); string(now) != string(panicSeconds) {
		t.Errorf("a machine changed the host's kernel.panic from %s to %s", panicSeconds, now)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "/mnt/x") || strings.Contains(string(mounts), s.RunDir) {
		t.Error("a mount of the machine shows on the host")
	}
}

func TestLimitsAreTrueAndEnforced(t *testing.T) {
	s := spec(t)
	s.Memory, s.CPUs = 64<<20, 1
	m := boots(t, s)
	if got := in(t, m, "grep MemTotal /proc/meminfo | tr -s ' '"); got != "MemTotal: 65536 kB" {
		t.Errorf("the machine tells %q", got)
	}
	if out, err := tryIn(t, m, "head -c 200M /dev/zero | tail -c 150M | wc -c"); err == nil && out == "157286400" {
		t.Error("150 MiB fit into a machine of 64")
	}
	if got := in(t, m, "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || true"); got != "100000" && got != "" {
		t.Errorf("CPU quota %q, want 100000", got)
	}
	if _, err := m.Services(t.Context()); err != nil || !m.Running() {
		t.Errorf("the machine did not survive its OOM kill: %v", err)
	}
}

func TestMachineInMemoryNeedsNoDisk(t *testing.T) {
	s := spec(t)
	s.Disk = nil
	m := boots(t, s)
	if got := in(t, m, "findmnt -nT /var/log -o FSTYPE"); got != "tmpfs" {
		t.Errorf("/var is on %q, want tmpfs", got)
	}
}
