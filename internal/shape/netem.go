package shape

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Handles of our queueing disciplines: by their major number we know them again.
const (
	ourMajor   = 0x5a5a
	netemMajor = 0x5a5b // of netem below the classifier
	spareBand  = 4      // the band to which only filters lead
)

// netemCan tells whether netem could do what is asked, were it there. Normal
// jitter needs a table that netlink does not send.
func (l *Link) netemCan() bool {
	if l.Ingress != nil && l.Ingress.Distribution == Normal || l.Egress != nil && l.Egress.Distribution == Normal {
		return false
	}
	return l.Ingress.Idle() || l.Far != nil
}

// sides lists the interfaces that must send worse: this end for what it sends,
// the far end for what this one receives.
func (l *Link) sides() map[End]*Params {
	out := map[End]*Params{}
	if !l.Egress.Idle() {
		out[End{l.Netns, l.Interface}] = l.Egress
	}
	if !l.Ingress.Idle() && l.Far != nil {
		out[*l.Far] = l.Ingress
	}
	return out
}

// startNetem gives the ends of a cable their discipline. Where the kernel has no
// netem the error is unix.ENOENT, and nothing is left.
func startNetem(l *Link) error {
	for end, p := range l.sides() {
		err := inNamespace(end.Netns, func(h *netlink.Handle) error { return setNetem(h, end.Interface, p, &l.Filter) })
		if err != nil {
			return errors.Join(fmt.Errorf("netem on %s: %w", end.Interface, err), Clear(l))
		}
	}
	return nil
}

func setNetem(h *netlink.Handle, name string, p *Params, f *Filter) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	at := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(ourMajor, 0)}
	if f.All() {
		return h.QdiscReplace(netlink.NewNetem(at, p.netem()))
	}
	prio := netlink.NewPrio(at)
	prio.Bands = spareBand
	if err := h.QdiscReplace(prio); err != nil {
		return err
	}
	at.Parent, at.Handle = netlink.MakeHandle(ourMajor, spareBand), netlink.MakeHandle(netemMajor, 0)
	if err := h.QdiscReplace(netlink.NewNetem(at, p.netem())); err != nil {
		return err
	}
	for _, keys := range f.u32() {
		err := h.FilterAdd(&netlink.U32{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.MakeHandle(ourMajor, 0), Priority: 1, Protocol: unix.ETH_P_IP},
			ClassId:     netlink.MakeHandle(ourMajor, spareBand),
			Sel:         &netlink.TcU32Sel{Flags: netlink.TC_U32_TERMINAL, Nkeys: uint8(len(keys)), Keys: keys},
		})
		if err != nil {
			return fmt.Errorf("filter of %s: %w", name, err)
		}
	}
	return nil
}

// netem translates into the library's words: microseconds and percent.
func (p *Params) netem() netlink.NetemQdiscAttrs {
	a := netlink.NetemQdiscAttrs{
		Latency: uint32(p.Delay / time.Microsecond), Jitter: uint32(p.Jitter / time.Microsecond), DelayCorr: float32(100 * p.DelayCorrelation),
		Loss: float32(100 * p.Loss), LossCorr: float32(100 * p.LossCorrelation),
		Duplicate: float32(100 * p.Duplicate), DuplicateCorr: float32(100 * p.DuplicateCorrelation),
		CorruptProb: float32(100 * p.Corrupt), CorruptCorr: float32(100 * p.CorruptCorrelation),
		ReorderProb: float32(100 * p.Reorder), ReorderCorr: float32(100 * p.ReorderCorrelation),
		Gap: uint32(p.Gap), Limit: Limit, Rate64: uint64(p.Rate / 8),
	}
	if p.Rate > 0 {
		buffer := p.Buffer
		if buffer == 0 {
			buffer = DefaultBuffer(p.Rate)
		}
		// netem counts packets, those that are delayed included.
		underway := float64(p.Rate) / 8 * p.Delay.Seconds()
		a.Limit = uint32(min(max((float64(buffer)+underway)/1500, 1), Limit))
	}
	return a
}

// u32 lists selectors, any of which chooses a packet. Like tc's own "match ip
// dport" they expect a header without options.
func (f *Filter) u32() [][]netlink.TcU32Key {
	var common []netlink.TcU32Key
	if f.Protocol != 0 {
		common = append(common, netlink.TcU32Key{Mask: 0x00ff0000, Val: uint32(f.Protocol) << 16, Off: 8})
	}
	all := [][]netlink.TcU32Key{common}
	if f.Port != 0 {
		all = [][]netlink.TcU32Key{
			with(common, netlink.TcU32Key{Mask: 0xffff0000, Val: uint32(f.Port) << 16, Off: 20}),
			with(common, netlink.TcU32Key{Mask: 0x0000ffff, Val: uint32(f.Port), Off: 20}),
		}
	}
	if len(f.Peers) == 0 {
		return all
	}
	var out [][]netlink.TcU32Key
	for _, keys := range all {
		for _, p := range f.Peers {
			mask, want := maskOf(p)
			for _, off := range []int32{12, 16} {
				out = append(out, with(keys, netlink.TcU32Key{Mask: mask, Val: want, Off: off}))
			}
		}
	}
	return out
}

func with(keys []netlink.TcU32Key, more netlink.TcU32Key) []netlink.TcU32Key {
	return append(append([]netlink.TcU32Key{}, keys...), more)
}

// Clear removes what netem was told to do to a link, by whatever process. An
// interface or namespace that is gone is no error, nor is one that was left alone.
func Clear(l *Link) error {
	var errs []error
	for end := range l.sides() {
		err := inNamespace(end.Netns, func(h *netlink.Handle) error {
			link, err := h.LinkByName(end.Interface)
			if err != nil {
				return err
			}
			list, err := h.QdiscList(link)
			if err != nil {
				return err
			}
			for _, q := range list {
				if a := q.Attrs(); a.Parent == netlink.HANDLE_ROOT && a.Handle == netlink.MakeHandle(ourMajor, 0) {
					return h.QdiscDel(q)
				}
			}
			return nil
		})
		var missing netlink.LinkNotFoundError
		if err != nil && !errors.As(err, &missing) && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("clear %s: %w", end.Interface, err))
		}
	}
	return errors.Join(errs...)
}
