package step

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"zdl/internal/shape"
)

const (
	// patientRTT is the longest added delay for which an echo is waited for.
	patientRTT = 3 * time.Second
	// certain is the share of frames lost, copied or damaged from which on a
	// hundred echoes must show it: all would escape once in 10^9 times.
	certain = 0.2
	// slowRate is the rate up to which a burst of echoes shows it.
	slowRate = 100e6
)

// Verify sends echoes along the path and says what became of them, and what the
// relay counted: that proves that the very link is shaped, for any share.
func (s *Shape) Verify(context.Context) (string, error) {
	k := s.keeper()
	if k == nil {
		return "", fmt.Errorf("nothing shapes the links of %s", s.What)
	}
	before, err := k.Ask()
	if err != nil {
		return "", err
	}
	if !s.Path.To.IsValid() {
		return s.standing(before)
	}
	effect := s.effect()
	echoes, err := effect.ping(s.Path).Do()
	if err != nil {
		return "", err
	}
	after, err := k.Ask()
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("echo from %s to %s: %s", s.Path.From, s.Path.To, effect.words(s.Path, &echoes))
	if after.Relayed {
		seen := after.Ingress.Seen + after.Egress.Seen - before.Ingress.Seen - before.Egress.Seen
		if seen < 1 {
			return "", fmt.Errorf("no frame came through the relay; %s", text)
		}
		text += "; " + relayCounts(after)
	} else {
		text += "; by netem"
	}
	if err := effect.shown(s.Path, &echoes); err != nil {
		return "", fmt.Errorf("%s: %w", text, err)
	}
	return text, nil
}

// standing is the proof where nobody answered before: that the shaping stands on
// the link.
func (s *Shape) standing(a shape.Answer) (string, error) {
	for i := range s.Links {
		l := &s.Links[i]
		state, err := shape.State(shape.End{Netns: l.Netns, Interface: l.Interface})
		if err != nil {
			return "", err
		}
		if a.Relayed && state["relay devices"] == "none" {
			return "", fmt.Errorf("%s has no relay", l.Interface)
		}
	}
	return fmt.Sprintf("the links of %s are shaped; nobody answered an echo before, so there is no time to compare; %s", s.What, relayCounts(a)), nil
}

// relayCounts says what the relay did so far.
func relayCounts(a shape.Answer) string {
	in, out := a.Ingress, a.Egress
	text := fmt.Sprintf("%d frames went through the relay", in.Seen+out.Seen)
	for _, n := range []struct {
		count uint64
		word  string
	}{{in.Lost + out.Lost, "lost"}, {in.Duplicated + out.Duplicated, "duplicated"}, {in.Corrupted + out.Corrupted, "corrupted"},
		{in.Reordered + out.Reordered, "reordered"}, {in.Dropped + out.Dropped, "dropped"}, {uint64(in.Waiting + out.Waiting), "waiting"}} {
		if n.count > 0 {
			text += fmt.Sprintf(", %d %s", n.count, n.word)
		}
	}
	return text
}

// shapeEffect is what a round trip through the link should show.
type shapeEffect struct {
	delay, jitter                     time.Duration // of both directions together
	loss, duplicate, corrupt, reorder float64       // at least, per round trip
	rate                              int64         // the lower of both
}

func (s *Shape) effect() shapeEffect {
	var e shapeEffect
	l := &s.Links[0]
	for _, p := range []*shape.Params{l.Ingress, l.Egress} {
		if p.Idle() {
			continue
		}
		e.delay += p.Delay
		e.jitter += p.Jitter
		if p.Distribution == shape.Normal {
			e.jitter += 3 * p.Jitter
		}
		e.loss, e.corrupt = max(e.loss, p.Loss), max(e.corrupt, p.Corrupt)
		e.duplicate, e.reorder = max(e.duplicate, p.Duplicate), max(e.reorder, p.Reorder)
		if p.Rate > 0 && (e.rate == 0 || p.Rate < e.rate) {
			e.rate = p.Rate
		}
	}
	return e
}

func (e *shapeEffect) byChance() bool { return e.loss+e.duplicate+e.corrupt+e.reorder > 0 }

const (
	largeEcho  = 1400                  // bytes of payload
	largeFrame = 14 + 20 + 8 + 1400    // what the link carries
	burstTime  = 20 * time.Millisecond // of a burst at the rate
)

func (e *shapeEffect) ping(path EchoPath) shape.Ping {
	p := shape.Ping{Netns: path.Netns, To: []netip.Addr{path.To}, Count: 3, Gap: time.Millisecond, Wait: e.delay + e.jitter + 10*path.Before + 200*time.Millisecond}
	switch {
	case e.delay > patientRTT:
		p.Count, p.Wait = 1, 200*time.Millisecond
	case e.byChance():
		p.Count, p.Gap = 100, 200*time.Microsecond
		p.Wait = e.delay + e.jitter + 10*path.Before + 30*time.Millisecond
	case e.rate > 0:
		p.Gap, p.Size = 0, largeEcho
		p.Count = int(min(max(float64(e.rate)*burstTime.Seconds()/8/largeFrame, 4), 64))
		p.Wait += time.Duration(float64(p.Count*largeFrame*8) / float64(e.rate) * 2 * float64(time.Second))
	}
	return p
}

// words say what was measured.
func (e *shapeEffect) words(path EchoPath, got *shape.Echoes) string {
	var out []string
	if e.delay > 0 {
		if got.Received > 0 {
			out = append(out, fmt.Sprintf("RTT %s before, %s now", rttText(path.Before), rttText(got.Median())))
		} else if e.delay > patientRTT {
			out = append(out, fmt.Sprintf("RTT %s before, no answer within 200 ms now", rttText(path.Before)))
		}
	}
	if e.byChance() {
		text := fmt.Sprintf("of %d echoes %d did not come back", got.Sent, got.Sent-got.Received)
		if e.duplicate > 0 {
			text += fmt.Sprintf(", %d came twice", got.Copies)
		}
		if e.reorder > 0 {
			text += fmt.Sprintf(", %d came after later ones", got.Overtakes)
		}
		out = append(out, text)
	}
	if e.rate > 0 {
		out = append(out, fmt.Sprintf("%d echoes of %d bytes came back in %s, %s", got.Received, largeFrame, rttText(got.Span), rateText(measuredRate(got))))
	}
	return strings.Join(out, "; ")
}

// shown tells whether the echoes show what they must.
func (e *shapeEffect) shown(path EchoPath, got *shape.Echoes) error {
	lost := got.Sent - got.Received
	switch {
	case e.delay > patientRTT:
		if got.Received > 0 {
			return errors.New("the answer came at once")
		}
	case e.delay > 0 && e.reorder == 0 && got.Received > 0 && got.Median() < path.Before/2+max(e.delay-e.jitter, e.delay/4)*9/10:
		return fmt.Errorf("a delay of %v does not show", e.delay)
	case e.delay > 0 && got.Received == 0 && e.loss+e.corrupt == 0:
		return errors.New("no answer")
	case e.loss+e.corrupt >= certain && lost == 0:
		return errors.New("no loss shows")
	case e.duplicate >= certain && got.Copies == 0:
		return errors.New("no copy shows")
	case e.reorder >= certain && e.reorder <= 1-certain && got.Overtakes == 0:
		return errors.New("no change of the order shows")
	case e.rate > 0 && e.rate <= slowRate && got.Received > 1 && measuredRate(got) > 1.5*float64(e.rate):
		return fmt.Errorf("a rate of %s does not show", rateText(float64(e.rate)))
	}
	return nil
}

// measuredRate is the rate of the answers, bits a second.
func measuredRate(got *shape.Echoes) float64 {
	if got.Received < 2 || got.Span <= 0 {
		return 0
	}
	return float64((got.Received-1)*largeFrame*8) / got.Span.Seconds()
}

func rttText(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func rateText(bits float64) string {
	switch {
	case bits >= 1e9:
		return fmt.Sprintf("%.2f Gbit/s", bits/1e9)
	case bits >= 1e6:
		return fmt.Sprintf("%.2f Mbit/s", bits/1e6)
	}
	return fmt.Sprintf("%.0f kbit/s", bits/1e3)
}
