package shape

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is a cable between two namespaces of a test, as between a machine and its
// switch.
type wire struct {
	near, far end
}

type end struct {
	path, name string
	addr       netip.Addr
}

func (e end) target() []netip.Addr { return []netip.Addr{e.addr} }

func needRoot(t testing.TB) {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: makes network namespaces")
	}
}

func newWire(t testing.TB) *wire {
	t.Helper()
	needRoot(t)
	w := &wire{
		near: end{netns(t, "near"), "w0", netip.MustParseAddr("198.18.1.1")},
		far:  end{netns(t, "far"), "w1", netip.MustParseAddr("198.18.1.2")},
	}
	w.plug(t, 1000)
	return w
}

// plug lays the cable; index is the number of its near end.
func (w *wire) plug(t testing.TB, index int) {
	t.Helper()
	err := inNamespace(w.near.path, func(h *netlink.Handle) error {
		fd, err := unix.Open(w.far.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.Index = w.near.name, index
		return h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: w.far.name, PeerNamespace: netlink.NsFd(fd)})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []end{w.near, w.far} {
		err := inNamespace(e.path, func(h *netlink.Handle) error {
			for _, name := range []string{"lo", e.name} {
				link, err := h.LinkByName(name)
				if err != nil {
					return err
				}
				if name == e.name {
					addr := &netlink.Addr{IPNet: &net.IPNet{IP: e.addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}
					if err := h.AddrAdd(link, addr); err != nil {
						return err
					}
				}
				if err := h.LinkSetUp(link); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// netns makes a network namespace that lasts until the test ends.
func netns(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends here
		err := unix.Unshare(unix.CLONE_NEWNET)
		for _, key := range []string{"all", "default"} {
			_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+key+"/disable_ipv6", []byte("1"), 0)
		}
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// link makes l one of the near end.
func (w *wire) link(l Link) Link {
	l.Netns, l.Interface, l.Far = w.near.path, w.near.name, &End{w.far.path, w.far.name}
	return l
}

// needRelay skips tests of the relay, and those of exact times and shares: netem
// is tested by its makers, and where it is tested here the machine is emulated
// and slow.
func needRelay(t testing.TB, w *wire) {
	t.Helper()
	if netemIsThere(w) {
		t.Skip("this kernel has netem, so the relay does not serve")
	}
}

func netemIsThere(w *wire) bool {
	return inNamespace(w.near.path, func(h *netlink.Handle) error {
		l, err := h.LinkByName(w.near.name)
		if err != nil {
			return err
		}
		q := netlink.NewNetem(netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_ROOT}, netlink.NetemQdiscAttrs{})
		if err := h.QdiscReplace(q); err != nil {
			return err
		}
		return h.QdiscDel(q)
	}) == nil
}

// shaped starts shaping the near end.
func (w *wire) shaped(t testing.TB, l Link) *Shaper {
	t.Helper()
	s, err := Start([]Link{w.link(l)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// udp opens a socket at an end.
func (e end) udp(t testing.TB, port int) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := inNamespace(e.path, func(*netlink.Handle) (err error) {
		pc, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp4", fmt.Sprintf("%s:%d", e.addr, port))
		if err == nil {
			conn = pc.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(8 << 20)
	_ = conn.SetWriteBuffer(8 << 20)
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		})
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// residue lists what a shaper could leave at the near end.
func (w *wire) residue(t testing.TB) []string {
	t.Helper()
	state, err := State(End{w.near.path, w.near.name})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for name, value := range state {
		if value != "none" {
			left = append(left, name+": "+value)
		}
	}
	return left
}

// until waits for a condition, at most 5 s.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
