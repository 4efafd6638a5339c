package main

import (
	"os"
	"path/filepath"
	"strings"

	"zdl/internal/cluster/local/machine/boot"
)

// factsDir holds, out of sight, what covers files of /proc and /sys.
const factsDir = "/.facts"

// bootedFile holds the machine's boot id once its root is complete.
const bootedFile = factsDir + "/booted"

// kubeletSysctls are the six switches that kubelet sets on the whole host
// (setupKernelTunables in pkg/kubelet/cm/container_manager_linux.go, v1.36.3,
// values from k8s.io/component-helpers/node/util/sysctl). They are covered by
// files that hold these values already: so it finds nothing to change, and what
// it writes after all stays in the machine.
var kubeletSysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// coverFacts replaces what would tell a machine about its host, or would let
// it change the host, by facts of its own.
func coverFacts(plan *boot.Plan) error {
	if err := os.Mkdir(factsDir, 0o700); err != nil {
		return err
	}
	facts := map[string]string{
		"/proc/sys/kernel/random/boot_id": plan.BootID + "\n",
		"/sys/class/dmi/id/product_uuid":  uuid(plan.MachineID) + "\n",
	}
	for name, value := range kubeletSysctls {
		facts[filepath.Join("/proc/sys", name)] = value + "\n"
	}
	if plan.Memory > 0 {
		real, err := os.ReadFile(meminfoPath)
		if err != nil {
			return err
		}
		facts[meminfoPath] = string(meminfo(real, plan.Memory, usage{}))
	}
	for path, content := range facts {
		if _, err := os.Stat(path); os.IsNotExist(err) {
			continue // this kernel does not tell it at all
		}
		own := ownFact(path)
		if err := os.WriteFile(own, []byte(content), 0o644); err != nil {
			return err
		}
		if err := bind(own, path); err != nil {
			return err
		}
	}
	return nil
}

// ownFact is the machine's own file that covers path.
func ownFact(path string) string {
	return filepath.Join(factsDir, strings.ReplaceAll(path[1:], "/", "-"))
}

// uuid writes 32 hexadecimal digits as a UUID.
func uuid(id string) string {
	if len(id) != 32 {
		return id
	}
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}
