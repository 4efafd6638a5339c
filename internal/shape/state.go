package shape

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// State describes what shaping may change of an interface: its queueing
// discipline, programs of TCX on it, and TAP devices of the relay beside it. What
// is not there is "none", as it is of an interface or namespace that is gone.
func State(e End) (map[string]string, error) {
	state := map[string]string{"qdisc": "none", "programs on ingress": "none", "programs on egress": "none", "relay devices": "none"}
	err := inNamespace(e.Netns, func(h *netlink.Handle) error {
		target, err := h.LinkByName(e.Interface)
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return nil
		}
		if err != nil {
			return err
		}
		index := target.Attrs().Index
		if state["qdisc"], err = qdiscs(h, target); err != nil {
			return err
		}
		for name, hook := range map[string]ebpf.AttachType{"programs on ingress": ebpf.AttachTCXIngress, "programs on egress": ebpf.AttachTCXEgress} {
			state[name] = programs(index, hook)
		}
		var devices []string
		for _, received := range []bool{true, false} {
			if _, err := h.LinkByName(tapName(index, received)); err == nil {
				devices = append(devices, tapName(index, received))
			} else if !errors.As(err, &missing) {
				return err
			}
		}
		if len(devices) > 0 {
			state["relay devices"] = strings.Join(devices, " ")
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EINVAL) { // no file, or no namespace bound to it
		return state, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", e.Interface, err)
	}
	return state, nil
}

func qdiscs(h *netlink.Handle, l netlink.Link) (string, error) {
	list, err := h.QdiscList(l)
	if err != nil {
		return "", err
	}
	var kinds []string
	for _, q := range list {
		if q.Type() != "noqueue" { // what a veth has by itself
			kinds = append(kinds, q.Type())
		}
	}
	if len(kinds) == 0 {
		return "none", nil
	}
	slices.Sort(kinds)
	return strings.Join(kinds, " "), nil
}

// programs names the programs on a hook; kernels before 6.6 have no such hooks.
func programs(index int, hook ebpf.AttachType) string {
	result, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: hook})
	if err != nil || len(result.Programs) == 0 {
		return "none"
	}
	var names []string
	for _, p := range result.Programs {
		name := fmt.Sprintf("program %d", p.ID)
		if program, err := ebpf.NewProgramFromID(p.ID); err == nil {
			if info, err := program.Info(); err == nil && info.Name != "" {
				name = info.Name
			}
			program.Close()
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}
