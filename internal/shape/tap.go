package shape

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// vnetHeader is the size of struct virtio_net_hdr, before every frame of a
	// TAP device with IFF_VNET_HDR.
	vnetHeader = 10
	// tapQueue frames fit between the kernel and the relay: two round trips of
	// its loop at 10 Gbit/s.
	tapQueue = 4096
	// takeover is how long the devices of a relay that ended may take to go.
	takeover = 3 * time.Second
	// clone makes TAP devices.
	clone = "/dev/net/tun"
)

// tap is a TAP device of the calling thread's network namespace. It goes with
// its descriptor.
type tap struct {
	fd    int
	index int
}

// openTAP makes a device of the given name that is up. It takes no part in the
// network: it has no address and gets none by itself. Without TUNSETOFFLOAD the
// kernel cuts what is larger than the MTU and completes checksums before a frame
// comes out, so that loss acts as on a wire.
func openTAP(h *netlink.Handle, name string, mtu int) (*tap, error) {
	fd, err := unix.Open(clone, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", clone, err)
	}
	t := &tap{fd: fd}
	if err := t.prepare(h, name, mtu); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TAP device %s: %w", name, err)
	}
	return t, nil
}

func (t *tap) prepare(h *netlink.Handle, name string, mtu int) error {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	// A relay that was just told to end may still hold the name.
	for patience := time.Now().Add(takeover); ; time.Sleep(2 * time.Millisecond) {
		if err = unix.IoctlIfreq(t.fd, unix.TUNSETIFF, req); err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(patience) {
			return err
		}
	}
	noIPv6 := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
	if err := os.WriteFile(noIPv6, []byte("1"), 0); err != nil && !os.IsNotExist(err) {
		return err
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	t.index = link.Attrs().Index
	if err := h.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("MTU %d: %w", mtu, err)
	}
	if err := h.LinkSetTxQLen(link, tapQueue); err != nil {
		return fmt.Errorf("queue of %d: %w", tapQueue, err)
	}
	return h.LinkSetUp(link)
}

func (t *tap) close() { unix.Close(t.fd) }

// tapName is that of the device for one direction of an interface: it fits
// into 15 characters and two relays of the same interface collide.
func tapName(index int, received bool) string {
	if received {
		return "shape-in" + strconv.Itoa(index)
	}
	return "shape-out" + strconv.Itoa(index)
}
