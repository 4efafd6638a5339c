package shape

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Available tells why this kernel can shape no link; nil when it can. It tries
// in a network namespace that nobody else sees, once.
var Available = sync.OnceValue(func() error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread and the namespace end here
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("make a network namespace to try in: %w", err)
			}
			h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			return try(h)
		}()
	}()
	return <-result
})

func try(h *netlink.Handle) error {
	const lo = 1
	at := netlink.QdiscAttrs{LinkIndex: lo, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(ourMajor, 0)}
	if h.QdiscReplace(netlink.NewNetem(at, netlink.NetemQdiscAttrs{Limit: Limit})) == nil {
		return nil
	}
	if _, err := os.Stat(clone); err != nil {
		return fmt.Errorf("the kernel has no netem, and for a relay there is no %s", clone)
	}
	// Asking costs nothing; attaching would wait for RCU.
	if _, err := link.QueryPrograms(link.QueryOptions{Target: lo, Attach: ebpf.AttachTCXIngress}); err != nil {
		return errors.New("the kernel has neither netem nor TCX, which Linux has since 6.6")
	}
	return nil
}

// InterfaceTo names the interface of a network namespace by which packets go to
// an address.
func InterfaceTo(netns string, to netip.Addr) (string, error) {
	name := ""
	err := inNamespace(netns, func(h *netlink.Handle) error {
		routes, err := h.RouteGet(net.IP(to.AsSlice()))
		if err != nil {
			return err
		}
		if len(routes) == 0 {
			return fmt.Errorf("no route to %s", to)
		}
		l, err := h.LinkByIndex(routes[0].LinkIndex)
		if err == nil {
			name = l.Attrs().Name
		}
		return err
	})
	return name, err
}
