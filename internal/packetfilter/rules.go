package packetfilter

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

var hooks = map[Hook]*nftables.ChainHook{
	Ingress:    nftables.ChainHookIngress,
	Prerouting: nftables.ChainHookPrerouting,
	Input:      nftables.ChainHookInput,
	Forward:    nftables.ChainHookForward,
	Output:     nftables.ChainHookOutput,
}

// fill queues the chains and rules of a table that was queued already.
func fill(c *nftables.Conn, table *nftables.Table, t *Table) error {
	for i := range t.Chains {
		from := &t.Chains[i]
		kind := nftables.ChainTypeFilter
		if from.NAT {
			kind = nftables.ChainTypeNAT
		}
		chain := c.AddChain(&nftables.Chain{
			Name: from.Name, Table: table, Type: kind, Device: from.Device,
			Hooknum: hooks[from.Hook], Priority: nftables.ChainPriorityRef(nftables.ChainPriority(from.Priority)),
		})
		for j := range from.Rules {
			if err := addRule(c, chain, t.Family, &from.Rules[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// addRule queues one rule; two for a rejection, since resets are for TCP only.
func addRule(c *nftables.Conn, chain *nftables.Chain, family Family, r *Rule) error {
	match, err := matches(c, chain.Table, family, r)
	if err != nil {
		return err
	}
	add := func(more ...expr.Any) {
		c.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: slices.Concat(match, more)})
	}
	count := &expr.Counter{}
	switch r.Do {
	case Drop:
		add(count, &expr.Verdict{Kind: expr.VerdictDrop})
	case Accept:
		add(count, &expr.Verdict{Kind: expr.VerdictAccept})
	case Reject:
		if r.Protocol != "udp" {
			add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{unix.IPPROTO_TCP}),
				count, &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
			// Sets without a name belong to one rule.
			if match, err = matches(c, chain.Table, family, r); err != nil {
				return err
			}
		}
		add(&expr.Counter{}, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3}) // ICMP_PORT_UNREACH
	case Redirect:
		add(count, &expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(r.Redirect)},
			&expr.Redir{RegisterProtoMin: 1, Flags: unix.NF_NAT_RANGE_PROTO_SPECIFIED})
	default:
		return fmt.Errorf("packet filter %s: unknown verdict %q", chain.Table.Name, r.Do)
	}
	return nil
}

func matches(c *nftables.Conn, table *nftables.Table, family Family, r *Rule) ([]expr.Any, error) {
	var out []expr.Any
	for _, m := range []struct {
		key   expr.MetaKey
		names []string
	}{{expr.MetaKeyIIFNAME, r.In}, {expr.MetaKeyOIFNAME, r.Out}} {
		if len(m.names) == 0 {
			continue
		}
		keys := make([][]byte, len(m.names))
		for i, name := range m.names {
			keys[i] = make([]byte, unix.IFNAMSIZ)
			copy(keys[i], name)
		}
		in, err := oneOf(c, table, nftables.TypeIFName, keys)
		if err != nil {
			return nil, err
		}
		out = append(out, &expr.Meta{Key: m.key, Register: 1}, in)
	}
	if r.Mark != 0 {
		out = append(out, &expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, equal(binaryutil.NativeEndian.PutUint32(r.Mark)))
	}
	if family != IPv4 && (len(r.From)+len(r.To) > 0 || r.Protocol != "") {
		out = append(out, &expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, equal([]byte{0x08, 0x00})) // ETH_P_IP
	}
	for _, m := range []struct {
		offset   uint32 // in the IPv4 header
		prefixes []netip.Prefix
	}{{12, r.From}, {16, r.To}} {
		if len(m.prefixes) == 0 {
			continue
		}
		in, err := inRanges(c, table, m.prefixes)
		if err != nil {
			return nil, err
		}
		out = append(out, &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: m.offset, Len: 4, DestRegister: 1}, in)
	}
	if r.Protocol != "" {
		number, ok := map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[r.Protocol]
		if !ok {
			return nil, fmt.Errorf("packet filter %s: unknown protocol %q", table.Name, r.Protocol)
		}
		out = append(out, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{number}))
	}
	for offset, port := range []uint16{r.FromPort, r.ToPort} {
		if port != 0 {
			out = append(out, &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: uint32(2 * offset), Len: 2, DestRegister: 1},
				equal(binaryutil.BigEndian.PutUint16(port)))
		}
	}
	return out, nil
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// oneOf compares the register with one key, or looks it up among several.
func oneOf(c *nftables.Conn, table *nftables.Table, kind nftables.SetDatatype, keys [][]byte) (expr.Any, error) {
	if len(keys) == 1 {
		return equal(keys[0]), nil
	}
	var elements []nftables.SetElement
	for _, k := range keys {
		elements = append(elements, nftables.SetElement{Key: k})
	}
	return lookup(c, &nftables.Set{Table: table, Anonymous: true, Constant: true, KeyType: kind}, elements)
}

// inRanges looks the register up among address ranges.
func inRanges(c *nftables.Conn, table *nftables.Table, prefixes []netip.Prefix) (expr.Any, error) {
	var elements []nftables.SetElement
	for _, r := range merge(prefixes) {
		elements = append(elements, nftables.SetElement{Key: r.first[:]})
		if r.end != [4]byte{} { // else up to 255.255.255.255
			elements = append(elements, nftables.SetElement{Key: r.end[:], IntervalEnd: true})
		}
	}
	return lookup(c, &nftables.Set{Table: table, Anonymous: true, Constant: true, Interval: true, KeyType: nftables.TypeIPAddr}, elements)
}

func lookup(c *nftables.Conn, set *nftables.Set, elements []nftables.SetElement) (expr.Any, error) {
	if err := c.AddSet(set, elements); err != nil {
		return nil, fmt.Errorf("packet filter %s: %w", set.Table.Name, err)
	}
	return &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}, nil
}

// span is a range of addresses; end is the first behind it.
type span struct{ first, end [4]byte }

// merge makes disjoint ranges, as nftables wants them, that do not adjoin.
func merge(prefixes []netip.Prefix) []span {
	type numbers struct{ first, end uint64 }
	var all []numbers
	for _, p := range prefixes {
		p = p.Masked()
		a := p.Addr().As4()
		first := uint64(binary.BigEndian.Uint32(a[:]))
		all = append(all, numbers{first, first + 1<<(32-p.Bits())})
	}
	slices.SortFunc(all, func(a, b numbers) int { return int(int64(a.first) - int64(b.first)) })
	var out []span
	for i := 0; i < len(all); {
		r := all[i]
		for i++; i < len(all) && all[i].first <= r.end; i++ {
			r.end = max(r.end, all[i].end)
		}
		var s span
		binary.BigEndian.PutUint32(s.first[:], uint32(r.first))
		binary.BigEndian.PutUint32(s.end[:], uint32(r.end))
		out = append(out, s)
	}
	return out
}
