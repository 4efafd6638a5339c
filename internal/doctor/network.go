package doctor

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// tryCables plugs a veth pair into a bridge, as each node is into its switch.
func tryCables() error {
	return inPrivate(func() error {
		_, err := cable()
		return err
	})
}

// cable makes a veth pair in the calling thread's network namespace, one end
// in a bridge, and returns the other end.
func cable() (netlink.Link, error) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "zdl-sw"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("add a bridge: %w", err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "zdl-a"}, PeerName: "zdl-b"}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("add a veth pair: %w", err)
	}
	peer, err := netlink.LinkByName("zdl-b")
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetMaster(veth, bridge); err != nil {
		return nil, fmt.Errorf("plug a veth into a bridge: %w", err)
	}
	return peer, nil
}

// services has one of each expression that kube-proxy's nftables mode uses
// (k8s.io/kubernetes pkg/proxy/nftables).
const services = `
table inet zdl {
  map services { type inet_proto . ipv4_addr . inet_service : verdict; }
  set affinity { type ipv4_addr; flags dynamic,timeout; timeout 60s; }
  chain endpoint {
    update @affinity { ip saddr }
    meta l4proto tcp dnat ip to 198.18.0.1:80
  }
  chain refuse {
    reject with icmpx type port-unreachable
  }
  chain prerouting {
    type nat hook prerouting priority -100;
    meta l4proto . ip daddr . th dport vmap @services
    fib daddr type local numgen random mod 2 vmap { 0: goto endpoint, 1: goto endpoint }
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    meta mark & 0x4000 == 0x4000 masquerade fully-random
  }
  chain forward {
    type filter hook forward priority 0;
    ct state established,related accept
    ct state new goto refuse
  }
}`

// partition is how traffic between two ports of a switch is cut.
const partition = `
table bridge zdl {
  set cut { type ifname . ifname; }
  chain forward {
    type filter hook forward priority 0;
    iifname . oifname @cut drop
  }
}`

// queue hands packets to a program, which is how NetworkPolicy is enforced.
const queue = `
table inet zdl {
  chain forward {
    type filter hook forward priority 0;
    queue flags bypass to 100
  }
}`

func tryServices() error { return tryRules(services) }

func tryRules(rules string) error {
	nft := lookAny("nft")
	if nft == "" {
		return errors.New("nft is not installed, so it could not be tried")
	}
	return inPrivate(func() error { return run(rules, nft, "-f", "-") })
}

// checkFaultPaths finds out by which of several ways faults will work.
func checkFaultPaths() []Check {
	delay := Check{Name: "netem", What: "delay, loss and rate on cables", Status: Info}
	cut := Check{Name: "partition", What: "nftables in switches (partitions between nodes)", Status: OK, Detail: "works"}
	policy := Check{Name: "queue", What: "packet queues (NetworkPolicy)", Status: Info, Detail: "the nftables queue expression"}
	if os.Geteuid() != 0 {
		for _, c := range []*Check{&delay, &cut, &policy} {
			c.Status, c.Detail = Skipped, "can only be tried as root"
		}
		return []Check{delay, cut, policy}
	}
	err := inPrivate(func() error {
		end, err := cable()
		if err != nil {
			return err
		}
		return netlink.QdiscReplace(netlink.NewNetem(
			netlink.QdiscAttrs{LinkIndex: end.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
			netlink.NetemQdiscAttrs{Latency: 1000}))
	})
	switch {
	case err == nil:
		delay.Detail = "netem, by the kernel"
	case kernelAtLeast(6, 6) && exists("/dev/net/tun"):
		delay.Detail = "no netem in this kernel; by the lab's own relay (TCX and TAP)"
	default:
		delay.Status = Warn
		delay.Detail = fmt.Sprintf("no netem (%v), and no TCX (Linux 6.6) with /dev/net/tun either: cables cannot be slowed down", err)
		delay.Fix = "modprobe sch_netem, or use a kernel that has it"
	}
	if err := tryRules(partition); err != nil {
		cut.Status, cut.Detail, cut.Fix = Warn, "cannot be used, so two nodes of one zone cannot be cut off from each other: "+err.Error(), "modprobe nft_meta_bridge, or use a kernel that has it"
	}
	if tryRules(queue) != nil {
		policy.Detail = "no nftables queue expression in this kernel; by the NFQUEUE target of xtables"
	}
	return []Check{delay, cut, policy}
}
