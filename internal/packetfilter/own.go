package packetfilter

import (
	"fmt"
	"io"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tableOwner is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h (Linux 5.12).
const tableOwner = 0x2

// Own makes the table in the calling thread's namespace so that it belongs to
// this process: nobody else can change it, and the kernel removes it when the
// result is closed or the process dies, however it dies.
func Own(t Table) (io.Closer, error) {
	var raw *netlink.Conn
	c, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(conn *netlink.Conn) error {
		raw = conn
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	own := &owned{c}
	if err := addOwned(raw, &t); err != nil {
		own.Close()
		return nil, fmt.Errorf("make packet filter %s %s of our own: %w", t.Family, t.Name, err)
	}
	if err := fill(c, kernelTable(&t), &t); err != nil {
		own.Close()
		return nil, err
	}
	if err := c.Flush(); err != nil {
		own.Close()
		return nil, fmt.Errorf("fill packet filter %s %s: %w", t.Family, t.Name, err)
	}
	return own, nil
}

type owned struct{ *nftables.Conn }

func (o *owned) Close() error { return o.CloseLasting() }

// addOwned makes the empty table. The library's AddTable knows no flags.
func addOwned(conn *netlink.Conn, t *Table) error {
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(t.Name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binaryutil.BigEndian.PutUint32(tableOwner)},
	})
	if err != nil {
		return err
	}
	// struct nfgenmsg: family, version, and for the marks of a batch its subsystem.
	batch := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}
	family := []byte{byte(families[t.Family]), unix.NFNETLINK_V0, 0, 0}
	_, err = conn.SendMessages([]netlink.Message{
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: batch},
		{Header: netlink.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWTABLE,
			Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl,
		}, Data: append(family, attributes...)},
		{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: batch},
	})
	if err != nil {
		return err
	}
	_, err = conn.Receive()
	return err
}
