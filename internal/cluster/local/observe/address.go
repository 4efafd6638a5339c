package observe

import (
	"io"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Addresses tells of each IPv4 address that is added to or removed from an
// interface of a network namespace, until the result is closed. do runs a
// function inside that namespace. tell must not block.
func Addresses(do func(func() error) error, tell func(address netip.Addr, added bool)) (io.Closer, error) {
	s, err := join(do, unix.NETLINK_ROUTE, 1<<(unix.RTNLGRP_IPV4_IFADDR-1))
	if err != nil {
		return nil, err
	}
	go s.each(func(messages []syscall.NetlinkMessage) {
		for i := range messages {
			if address, ok := addressOf(&messages[i]); ok {
				tell(address, messages[i].Header.Type == unix.RTM_NEWADDR)
			}
		}
	})
	return s, nil
}

func addressOf(m *syscall.NetlinkMessage) (netip.Addr, bool) {
	if m.Header.Type != unix.RTM_NEWADDR && m.Header.Type != unix.RTM_DELADDR {
		return netip.Addr{}, false
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range attributes {
		if a.Attr.Type == unix.IFA_LOCAL {
			return netip.AddrFromSlice(a.Value)
		}
	}
	return netip.Addr{}, false
}
