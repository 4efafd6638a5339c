package shape

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxTAP is the largest MTU of a TAP device (tun_net_initialize in
// drivers/net/tun.c); lo has a larger one.
const maxTAP = 65535 - 14

// diversion leads the frames of one direction of an interface through a TAP
// device. Its links must stay reachable: the garbage collector would close them
// and the diversion would silently vanish.
type diversion struct {
	*tap
	mtu   int
	front link.Link // the program on the interface; while it is there, frames come
	back  link.Link // the program on the TAP device
}

// attach diverts one direction of an interface of the calling thread's network
// namespace.
func attach(h *netlink.Handle, target netlink.Link, received bool, f *Filter) (*diversion, error) {
	index, name := target.Attrs().Index, target.Attrs().Name
	d := &diversion{mtu: min(target.Attrs().MTU, maxTAP)}
	var err error
	if d.tap, err = openTAP(h, tapName(index, received), d.mtu); err != nil {
		return nil, err
	}
	if err := d.program(h, index, received, f); err != nil {
		return nil, errors.Join(fmt.Errorf("divert %s: %w", name, err), d.detach())
	}
	return d, nil
}

// markOf is unique per interface and direction, so that a frame that passes two
// diverted interfaces of one namespace is not taken for the other's.
func markOf(index int, received bool) uint32 {
	mark := 0x5a000000 | uint32(index)<<1&0xfffffe
	if received {
		mark |= 1
	}
	return mark
}

func (d *diversion) program(h *netlink.Handle, index int, received bool, f *Filter) error {
	mark, hook := markOf(index, received), ebpf.AttachTCXEgress
	if received {
		hook = ebpf.AttachTCXIngress
	}
	// The way back is there before the first frame comes.
	back, err := load("shape_back", giveBack(mark, index, received))
	if err != nil {
		return err
	}
	defer back.Close() // the link holds it
	if err := d.answer(h, back); err != nil {
		return err
	}
	front, err := load("shape_divert", divert(mark, d.index, f))
	if err != nil {
		return err
	}
	defer front.Close()
	d.front, err = link.AttachTCX(link.TCXOptions{Interface: index, Program: front, Attach: hook})
	return err
}

// answer puts a program on the TAP device. As a filter of tc it is there within
// a fraction of a millisecond, while the kernel waits for a grace period of RCU,
// some 10 ms, with each program of TCX (tcx_entry_sync in kernel/bpf/tcx.c).
// Where tc cannot do it, TCX can. Either goes with the device.
func (d *diversion) answer(h *netlink.Handle, back *ebpf.Program) error {
	err := h.QdiscAdd(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: d.index, Parent: netlink.HANDLE_INGRESS, Handle: netlink.MakeHandle(0xffff, 0)}})
	if err == nil {
		err = h.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: d.index, Parent: netlink.MakeHandle(0xffff, 0), Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
			Fd:          back.FD(), Name: "shape_back", DirectAction: true,
		})
	}
	if err == nil {
		return nil
	}
	d.back, err = link.AttachTCX(link.TCXOptions{Interface: d.index, Program: back, Attach: ebpf.AttachTCXIngress})
	return err
}

// release lets the interface work by itself again. What is still in the TAP
// device can be read, and sent on its way by writing.
func (d *diversion) release() error {
	if d.front == nil {
		return nil
	}
	err := d.front.Close()
	d.front = nil
	return err
}

// detach takes everything away.
func (d *diversion) detach() error {
	err := d.release()
	d.close() // with the device goes its program
	if d.back != nil {
		err = errors.Join(err, d.back.Close())
		d.back = nil
	}
	return err
}

// inNamespace runs do on a thread of its own in the network namespace at path,
// with a netlink socket in it; "" is the caller's.
func inNamespace(path string, do func(h *netlink.Handle) error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		result <- func() error {
			if path != "" {
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err != nil {
					return &os.PathError{Op: "open", Path: path, Err: err}
				}
				defer unix.Close(fd)
				if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
					return fmt.Errorf("enter network namespace %s: %w", path, err)
				}
			}
			h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
			if err != nil {
				return err
			}
			defer h.Close()
			return do(h)
		}()
	}()
	return <-result
}
