package fabric

import (
	"errors"
	"fmt"
	"os"

	"zdl/internal/topology"
)

// sysctl is a value below /proc/sys/net, which shows the namespace of the thread
// that looks.
type sysctl struct {
	key, value string
	optional   bool // kernels without the feature do not have the key
}

// apply writes sysctls of the calling thread's namespace.
func apply(list []sysctl) error {
	for _, s := range list {
		err := os.WriteFile("/proc/sys/net/"+s.key, []byte(s.value), 0)
		if err != nil && !(s.optional && errors.Is(err, os.ErrNotExist)) {
			return fmt.Errorf("set net/%s to %s: %w", s.key, s.value, err)
		}
	}
	return nil
}

// switchSysctls are those of a switch: it only passes frames.
func switchSysctls() []sysctl {
	return []sysctl{
		{"ipv6/conf/all/disable_ipv6", "1", true},
		{"ipv6/conf/default/disable_ipv6", "1", true},
	}
}

// machineSysctls are those of a machine, for its interfaces to come as well.
// ip_forward comes first, because writing it resets others
// (Documentation/networking/ip-sysctl.rst).
func machineSysctls(k topology.Kind) []sysctl {
	forward := "0"
	if k == topology.KindRouter || k == topology.KindControlPlane || k == topology.KindWorker {
		forward = "1"
	}
	list := []sysctl{
		{"ipv4/ip_forward", forward, false},
		{"ipv6/conf/all/disable_ipv6", "1", true},
		{"ipv6/conf/default/disable_ipv6", "1", true},
		// Anyone may send pings: pods and tests without CAP_NET_RAW.
		{"ipv4/ping_group_range", "0 2147483647", false},
	}
	for _, conf := range []string{"all", "default"} {
		list = append(list,
			// Replies may come back through the other router.
			sysctl{"ipv4/conf/" + conf + "/rp_filter", "0", false},
			// Whoever sends to the gateway means the gateway.
			sysctl{"ipv4/conf/" + conf + "/send_redirects", "0", false},
			sysctl{"ipv4/conf/" + conf + "/accept_redirects", "0", false},
			// An interface answers ARP for its own addresses only, and asks with
			// them: a virtual IP is never announced by a machine that lost it.
			sysctl{"ipv4/conf/" + conf + "/arp_ignore", "1", false},
			sysctl{"ipv4/conf/" + conf + "/arp_announce", "2", false},
			// Say so when an interface comes up.
			sysctl{"ipv4/conf/" + conf + "/arp_notify", "1", false},
		)
	}
	switch k {
	case topology.KindRouter:
		// Say of every packet, not of one in a second, that there is no way.
		list = append(list, sysctl{"ipv4/icmp_ratelimit", "0", false})
	case topology.KindEdge:
		list = append(list,
			// Both load balancers listen on the virtual IPs, whoever has them.
			sysctl{"ipv4/ip_nonlocal_bind", "1", false},
			sysctl{"ipv4/ip_local_port_range", "10240 65535", false},
			sysctl{"ipv4/tcp_tw_reuse", "1", false})
	case topology.KindOutside:
		// Room for 55 thousand connections to one address, and ports whose last
		// connection ended a second ago serve again (RFC 6191): at 500 new
		// connections a second, 60 s of TIME_WAIT hold 30 thousand.
		list = append(list,
			sysctl{"ipv4/ip_local_port_range", "10240 65535", false},
			sysctl{"ipv4/tcp_tw_reuse", "1", false})
	}
	return list
}
