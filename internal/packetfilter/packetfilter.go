// Package packetfilter puts tables of nftables into network namespaces: rules
// that drop, reject or redirect packets, each with a counter that proves what it
// did. A table is data, so that it can be written down before it is made, and is
// made, replaced and removed as a whole, in one transaction of the kernel.
package packetfilter

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Family is where in the kernel a table looks at packets.
type Family string

// The families that are used here, with nftables' names.
const (
	Bridge Family = "bridge" // frames that a switch passes on
	Netdev Family = "netdev" // frames that arrive at one interface
	IPv4   Family = "ip"     // packets of a machine or a pod
)

// Hook is the point on a packet's way.
type Hook string

// The hooks that are used here, with nftables' names.
const (
	Ingress    Hook = "ingress" // family netdev only
	Prerouting Hook = "prerouting"
	Input      Hook = "input"
	Forward    Hook = "forward"
	Output     Hook = "output"
)

// Table is a set of chains with a name of its own in its namespace.
type Table struct {
	Family Family  `json:"family"`
	Name   string  `json:"name"`
	Chains []Chain `json:"chains"`
}

// Chain is a list of rules at one hook; the first that matches decides.
type Chain struct {
	Name     string `json:"name"`
	Hook     Hook   `json:"hook"`
	Device   string `json:"device,omitempty"` // interface, for Ingress
	NAT      bool   `json:"nat,omitempty"`    // rules redirect; only the first packet of a connection is looked at
	Priority int32  `json:"priority,omitempty"`
	Rules    []Rule `json:"rules"`
}

// Verdict is what a rule does.
type Verdict string

// The verdicts. Reject answers TCP with a reset and all else with ICMP's "port
// unreachable"; it needs a family other than Bridge.
const (
	Drop     Verdict = "drop"
	Reject   Verdict = "reject"
	Redirect Verdict = "redirect" // to Rule.Redirect on the machine itself
	Accept   Verdict = "accept"
)

// Rule matches packets by all that is set. A rule with addresses, ports or a
// protocol is about IPv4 only; one without is about every frame.
type Rule struct {
	In       []string       `json:"in,omitempty"`  // arrived at one of these interfaces
	Out      []string       `json:"out,omitempty"` // leaves by one of these
	From     []netip.Prefix `json:"from,omitempty"`
	To       []netip.Prefix `json:"to,omitempty"`
	Protocol string         `json:"protocol,omitempty"` // tcp or udp
	FromPort uint16         `json:"fromPort,omitempty"` // with Protocol
	ToPort   uint16         `json:"toPort,omitempty"`   // with Protocol
	Mark     uint32         `json:"mark,omitempty"`     // of the socket that sends it
	Do       Verdict        `json:"do"`
	Redirect uint16         `json:"redirect,omitempty"` // port
}

// ErrNoNamespace means that the namespace does not exist: its machine is off, its
// pod is gone. It wraps os.ErrNotExist.
var ErrNoNamespace = fmt.Errorf("no network namespace: %w", os.ErrNotExist)

// Apply makes tables in the namespace at path, all in one transaction, in place
// of any of the same family and name.
func Apply(path string, tables ...Table) error {
	return with(path, func(c *nftables.Conn) error {
		make := func() error {
			for i := range tables {
				table := kernelTable(&tables[i])
				c.CreateTable(table)
				if err := fill(c, table, &tables[i]); err != nil {
					return err
				}
			}
			return c.Flush()
		}
		err := make()
		if errors.Is(err, unix.EEXIST) {
			// Not before it is needed: the kernel lets whoever comes after a deletion
			// wait until all is freed, some 15 ms.
			if err = remove(c, tables); err == nil {
				err = make()
			}
		}
		if err != nil {
			return fmt.Errorf("make packet filters: %w", err)
		}
		return nil
	})
}

// Remove takes tables away, by family and name, in one transaction. Neither they
// nor the namespace need be there.
func Remove(path string, tables ...Table) error {
	err := with(path, func(c *nftables.Conn) error { return remove(c, tables) })
	if errors.Is(err, ErrNoNamespace) {
		return nil
	}
	return err
}

func remove(c *nftables.Conn, tables []Table) error {
	for i := range tables {
		c.DelTable(kernelTable(&tables[i]))
	}
	err := c.Flush()
	if !errors.Is(err, unix.ENOENT) {
		return wrapRemoval(err)
	}
	// Some are not there, so the transaction was void.
	for i := range tables {
		c.DelTable(kernelTable(&tables[i]))
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			return wrapRemoval(err)
		}
	}
	return nil
}

func wrapRemoval(err error) error {
	if err != nil {
		return fmt.Errorf("remove packet filters: %w", err)
	}
	return nil
}

// Exists tells whether there is such a table; in a namespace that does not exist
// there is none.
func Exists(path string, family Family, name string) (bool, error) {
	found := false
	err := with(path, func(c *nftables.Conn) error {
		tables, err := c.ListTablesOfFamily(families[family])
		for _, t := range tables {
			found = found || t.Name == name
		}
		return err
	})
	if errors.Is(err, ErrNoNamespace) {
		err = nil
	}
	return found, err
}

// with opens nftables in the namespace at path.
func with(path string, do func(*nftables.Conn) error) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%s: %w", path, ErrNoNamespace)
		}
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil || s.Type != unix.NSFS_MAGIC {
		return fmt.Errorf("%s: %w", path, ErrNoNamespace) // left by a maker that died
	}
	c, err := nftables.New(nftables.WithNetNSFd(fd), nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("nftables in %s: %w", path, err)
	}
	err = do(c)
	// Closing waits until the kernel has freed what was deleted
	// (nft_rcv_nl_event in net/netfilter/nf_tables_api.c), some 15 ms after it took
	// effect.
	go c.CloseLasting()
	return err
}

var families = map[Family]nftables.TableFamily{
	Bridge: nftables.TableFamilyBridge,
	Netdev: nftables.TableFamilyNetdev,
	IPv4:   nftables.TableFamilyIPv4,
}

func kernelTable(t *Table) *nftables.Table {
	return &nftables.Table{Family: families[t.Family], Name: t.Name}
}

// IsNamespace tells whether there is a network namespace at path.
func IsNamespace(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Type == unix.NSFS_MAGIC
}
