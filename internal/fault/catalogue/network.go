package catalogue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/shape"
)

// worse is one way of making a link worse.
type worse struct {
	name   string // the last word of the kind's name
	verb   string // "Delay", of the frames of a link
	effect string
	params []fault.Param
	ways   string // direction by default
	values func(v fault.Values) shape.Params
}

// Directions of a shaping, as the one that is struck sees them.
const (
	outwards = "out"
	inwards  = "in"
	bothWays = "both"
)

// shaping lists the faults that make links worse.
func (c *catalogue) shaping() []fault.Kind {
	why := ""
	if err := shape.Available(); err != nil {
		why = err.Error()
	}
	var out []fault.Kind
	for _, on := range []struct {
		prefix, target, help string
		layer                fault.Layer
		find                 func(context.Context, string) ([]fault.Target, error)
		links                shapeLinks
	}{
		{"pod", "pod", podHelp, fault.LayerPod, c.pods, c.podLinks},
		{"node", "machine", machineHelp, fault.LayerNode, c.machines, c.machineLinks},
		{"zone", "zone", zoneHelp, fault.LayerNetwork, c.zones, c.zoneLinks},
	} {
		for _, w := range ways() {
			if on.prefix == "zone" && w.name != "delay" {
				continue
			}
			out = append(out, fault.Kind{
				Name: on.prefix + "-network-" + w.name, Layer: on.layer,
				Summary: fmt.Sprintf("%s %s (netem, or a relay of the lab where the kernel has none).", w.verb, ofWhat[on.prefix]),
				Effect:  w.effect,
				Targets: on.target, TargetHelp: on.help, Find: on.find,
				Params:      append(append([]fault.Param{}, w.params...), direction(w.ways), peerParam),
				Needs:       []cluster.Capability{cluster.CapabilityLink},
				Unavailable: why,
				Plan:        c.shapePlan(w, on.links),
			})
		}
	}
	return out
}

var ofWhat = map[string]string{
	"pod":  "a pod's network interface",
	"node": "every link of a machine",
	"zone": "all that goes between a zone and the rest of the lab, at the zone's routers",
}

var peerParam = fault.Param{Name: "peer", Type: fault.Text,
	Help: "only traffic with this: a MACHINE and its pods, a ZONE, edge, outside, or an address range such as 198.18.0.0/24"}

func direction(by string) fault.Param {
	return fault.Param{Name: "direction", Type: fault.Choice, Choices: []string{outwards, inwards, bothWays}, Default: by,
		Help: "what the target sends, what it receives, or each of both"}
}

func percent(name, help, by, least string) fault.Param {
	return fault.Param{Name: name, Type: fault.Percent, Help: help, Default: by, Min: least, Max: "100%"}
}

// ways lists what can be done to a link. Names and meanings are tc-netem's.
func ways() []worse {
	correlation := percent("correlation", "how much the fate of a frame is like that of the one before", "", "0%")
	latency := fault.Param{Name: "latency", Type: fault.Duration, Help: "added to each frame; a round trip grows by it once per direction", Default: "100ms", Min: "1ms", Max: "10s"}
	jitter := fault.Param{Name: "jitter", Type: fault.Duration, Help: "how far the latency varies, at most the latency itself", Min: "0s", Max: "10s"}
	distribution := fault.Param{Name: "distribution", Type: fault.Choice, Choices: []string{string(shape.Uniform), string(shape.Normal)}, Default: string(shape.Uniform),
		Help: "of the jitter: evenly within latency ± jitter, or with jitter as the standard deviation"}
	short := latency
	short.Default = "10ms"
	return []worse{
		{
			name: "delay", verb: "Delay the frames of", effect: "Everything takes longer by the latency; what is tightly timed fails.",
			params: []fault.Param{latency, jitter, distribution, correlation, percent("loss", "frames lost as well", "", "0%")}, ways: outwards,
			values: func(v fault.Values) shape.Params {
				return shape.Params{Delay: v.Duration("latency"), Jitter: v.Duration("jitter"), Distribution: shape.Distribution(v.Text("distribution")),
					DelayCorrelation: v.Fraction("correlation"), Loss: v.Fraction("loss")}
			},
		},
		{
			name: "loss", verb: "Lose frames of", effect: "TCP repeats and slows down; above some ten percent connections stall.",
			params: []fault.Param{percent("loss", "frames lost", "10%", "0.1%"), correlation}, ways: outwards,
			values: func(v fault.Values) shape.Params {
				return shape.Params{Loss: v.Fraction("loss"), LossCorrelation: v.Fraction("correlation")}
			},
		},
		{
			name: "duplicate", verb: "Send twice frames of", effect: "TCP drops the copies; what uses UDP may see things twice.",
			params: []fault.Param{percent("duplicate", "frames sent twice", "10%", "0.1%"), correlation}, ways: outwards,
			values: func(v fault.Values) shape.Params {
				return shape.Params{Duplicate: v.Fraction("duplicate"), DuplicateCorrelation: v.Fraction("correlation")}
			},
		},
		{
			name: "corrupt", verb: "Invert a bit in frames of", effect: "Checksums find it, so it shows as loss.",
			params: []fault.Param{percent("corrupt", "frames damaged", "10%", "0.1%"), correlation}, ways: outwards,
			values: func(v fault.Values) shape.Params {
				return shape.Params{Corrupt: v.Fraction("corrupt"), CorruptCorrelation: v.Fraction("correlation")}
			},
		},
		{
			name: "reorder", verb: "Let frames overtake others on", effect: "TCP takes it for loss and repeats what was only late.",
			params: []fault.Param{percent("reorder", "frames sent at once, ahead of the delayed ones", "25%", "0.1%"), correlation,
				{Name: "gap", Type: fault.Integer, Help: "only every so many frames one may overtake", Default: "1", Min: "1", Max: "1000"}, short}, ways: outwards,
			values: func(v fault.Values) shape.Params {
				return shape.Params{Delay: v.Duration("latency"), Reorder: v.Fraction("reorder"), ReorderCorrelation: v.Fraction("correlation"), Gap: int(v.Int("gap"))}
			},
		},
		{
			name: "bandwidth", verb: "Limit the rate of", effect: "What needs more queues up, then is dropped; latency grows by the buffer.",
			params: []fault.Param{
				{Name: "rate", Type: fault.Rate, Help: "of each direction", Default: "1Mbit", Min: "8kbit", Max: "10Gbit"},
				{Name: "buffer", Type: fault.Bytes, Help: "what may wait, the rest is dropped; without it 100 ms at the rate, at least 32Ki", Min: "2Ki", Max: "64Mi"},
			}, ways: bothWays,
			values: func(v fault.Values) shape.Params {
				p := shape.Params{Rate: v.Int("rate")}
				if v.Text("buffer") != "" {
					p.Buffer = int(v.Int("buffer"))
				}
				return p
			},
		},
	}
}

// shapePlan plans a step per target. All of them are tried out in parallel: each
// looks for somebody who answers an echo.
func (c *catalogue) shapePlan(w worse, links shapeLinks) func(context.Context, fault.Input) (fault.Plan, error) {
	return func(_ context.Context, in fault.Input) (fault.Plan, error) {
		p := w.values(in.Values)
		if p.Jitter > p.Delay {
			return fault.Plan{}, fault.Refuse(fmt.Sprintf("The jitter, %v, is more than the latency, %v.", p.Jitter, p.Delay), "-p jitter="+(p.Delay/10).Round(time.Millisecond).String())
		}
		peer, err := c.shapePeer(strings.TrimSpace(in.Values.Text("peer")))
		if err != nil {
			return fault.Plan{}, err
		}
		steps := make([]fault.Step, len(in.Targets))
		errs := make([]error, len(in.Targets))
		done := make(chan struct{})
		for i, t := range in.Targets {
			go func() {
				defer func() { done <- struct{}{} }()
				how := shaping{p: p, direction: in.Values.Text("direction"), peer: peer, seed: in.Seed + uint64(16*i)}
				steps[i], errs[i] = links(t, &how)
			}()
		}
		for range in.Targets {
			<-done
		}
		for _, err := range errs {
			if err != nil {
				return fault.Plan{}, err
			}
		}
		return fault.Together(steps...), nil
	}
}
