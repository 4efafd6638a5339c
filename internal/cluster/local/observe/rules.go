package observe

import (
	"bytes"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// groupNFTables is NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h.
const groupNFTables = 7

// Rules tells each time when a ruleset of nftables took effect in a network
// namespace whose change names what the caller asks for, for example a Service
// in the names of kube-proxy's chains, until the result is closed. It only
// listens. do runs a function inside that namespace. tell must not block.
func Rules(do func(func() error) error, name string, tell func(at time.Time)) (io.Closer, error) {
	s, err := join(do, unix.NETLINK_NETFILTER, 1<<(groupNFTables-1))
	if err != nil {
		return nil, err
	}
	c := commits{name: []byte(name)}
	go s.each(func(messages []syscall.NetlinkMessage) {
		for i := range messages {
			if c.hear(&messages[i]) {
				tell(time.Now())
			}
		}
	})
	return s, nil
}

// commits finds transactions that concern a name. The kernel tells all changes
// of a transaction, and last that a new generation is in force.
type commits struct {
	name  []byte
	named bool
}

func (c *commits) hear(m *syscall.NetlinkMessage) (committed bool) {
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES {
		return false
	}
	if m.Header.Type&0xff != unix.NFT_MSG_NEWGEN {
		c.named = c.named || bytes.Contains(m.Data, c.name)
		return false
	}
	committed, c.named = c.named, false
	return committed
}
