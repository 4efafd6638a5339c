package shape

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const (
	skbMark = 8 // offset of mark in struct __sk_buff (include/uapi/linux/bpf.h)

	tcxNext     = -1 // TCX_NEXT: let other programs decide; without any the frame goes on
	bpfFIngress = 1  // BPF_F_INGRESS
)

// Where things are in an Ethernet frame that holds an IPv4 packet.
const (
	atType     = 12
	atIP       = 14
	atFragment = atIP + 6
	atProtocol = atIP + 9
	atSource   = atIP + 12
	atDest     = atIP + 16
)

// divert is the program of the interface: frames that the filter chooses go to
// a TAP device. Those that come back from there carry the mark; they lose it and
// go on.
func divert(mark uint32, tap int, f *Filter) asm.Instructions {
	in := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), // where LoadAbs wants it
		asm.LoadMem(asm.R2, asm.R6, skbMark, asm.Word),
		asm.LoadImm(asm.R3, int64(mark), asm.DWord),
		asm.JNE.Reg(asm.R2, asm.R3, "fresh"),
		asm.Mov.Imm(asm.R2, 0),
		asm.StoreMem(asm.R6, skbMark, asm.R2, asm.Word),
		asm.Ja.Label("pass"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("fresh"),
	}
	in = append(in, choose(f)...)
	return append(in,
		asm.Mov.Imm(asm.R1, int32(tap)).WithSymbol("divert"),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRedirect.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("pass"),
		asm.Return(),
	)
}

// choose jumps to "pass" for frames that the filter does not mean. A frame that
// is too short for a LoadAbs ends the program with 0, which passes it as well.
func choose(f *Filter) asm.Instructions {
	if f.All() {
		return nil
	}
	in := asm.Instructions{
		asm.LoadAbs(atType, asm.Half),
		asm.JNE.Imm(asm.R0, unix.ETH_P_IP, "pass"),
	}
	if f.Protocol != 0 {
		in = append(in,
			asm.LoadAbs(atProtocol, asm.Byte),
			asm.JNE.Imm(asm.R0, int32(f.Protocol), "pass"))
	}
	if f.Port != 0 {
		in = append(in,
			asm.LoadAbs(atFragment, asm.Half),
			asm.JSet.Imm(asm.R0, 0x1fff, "pass"),
			// The header's length varies with its options.
			asm.LoadAbs(atIP, asm.Byte),
			asm.And.Imm(asm.R0, 0x0f),
			asm.LSh.Imm(asm.R0, 2),
			asm.Mov.Reg(asm.R7, asm.R0),
			asm.LoadInd(asm.R0, asm.R7, atIP, asm.Half),
			asm.JEq.Imm(asm.R0, int32(f.Port), "port"),
			asm.LoadInd(asm.R0, asm.R7, atIP+2, asm.Half),
			asm.JNE.Imm(asm.R0, int32(f.Port), "pass"),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("port"))
	}
	if len(f.Peers) == 0 {
		return in
	}
	in = append(in,
		asm.LoadAbs(atSource, asm.Word), asm.Mov.Reg(asm.R7, asm.R0),
		asm.LoadAbs(atDest, asm.Word), asm.Mov.Reg(asm.R8, asm.R0))
	for _, p := range f.Peers {
		mask, want := maskOf(p)
		for _, r := range []asm.Register{asm.R7, asm.R8} {
			in = append(in,
				asm.Mov.Reg(asm.R2, r),
				asm.LoadImm(asm.R3, int64(mask), asm.DWord),
				asm.And.Reg(asm.R2, asm.R3),
				asm.LoadImm(asm.R3, int64(want), asm.DWord),
				asm.JEq.Reg(asm.R2, asm.R3, "divert"))
		}
	}
	return append(in, asm.Ja.Label("pass"))
}

func maskOf(p netip.Prefix) (mask, want uint32) {
	a := p.Masked().Addr().As4()
	return binary.BigEndian.Uint32(net.CIDRMask(p.Bits(), 32)), binary.BigEndian.Uint32(a[:])
}

// giveBack is the program of a TAP device: what the relay writes is marked and
// returns to the interface, as received by it or as sent.
func giveBack(mark uint32, target int, received bool) asm.Instructions {
	flags := int32(0)
	if received {
		flags = bpfFIngress
	}
	return asm.Instructions{
		asm.LoadImm(asm.R2, int64(mark), asm.DWord),
		asm.StoreMem(asm.R1, skbMark, asm.R2, asm.Word),
		asm.Mov.Imm(asm.R1, int32(target)),
		asm.Mov.Imm(asm.R2, flags),
		asm.FnRedirect.Call(),
		asm.Return(),
	}
}

func load(name string, in asm.Instructions) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, Instructions: in, License: "GPL"})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", name, err)
	}
	return p, nil
}
