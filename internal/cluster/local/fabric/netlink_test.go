package fabric

import (
	"github.com/vishvananda/netlink"
)

func (n *namespace) addTo(name, cidr string) error {
	link, err := n.LinkByName(name)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return n.AddrAdd(link, addr)
}

func (n *namespace) flush(link netlink.Link) error {
	addrs, err := n.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for i := range addrs {
		if err := n.AddrDel(link, &addrs[i]); err != nil {
			return err
		}
	}
	return n.LinkSetNoMaster(link)
}
