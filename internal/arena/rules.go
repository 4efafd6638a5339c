package arena

import "time"

// Rules are the numbers of a level, as everybody may see them. Those of health
// belong to each target.
type Rules struct {
	// Damage of one hit, in points, unless the weapon has its own.
	Damage float64 `json:"damage"`
	// HitsPerSecond and Burst limit each visitor.
	HitsPerSecond float64 `json:"hitsPerSecond"`
	Burst         float64 `json:"burst"`
	// AllHitsPerSecond limits all visitors together.
	AllHitsPerSecond float64 `json:"allHitsPerSecond"`
	// Simultaneous bounds how many targets are struck at the same time; 0: all.
	Simultaneous int `json:"simultaneous"`
	// Win lists the ways to win.
	Win []WinRule `json:"win"`
	// GiveUp is how long a round lasts at most: then the cluster has held. Idle is
	// how long it lasts without a hit.
	GiveUp time.Duration `json:"giveUpNs"`
	Idle   time.Duration `json:"idleNs"`
	// RecoverAfter is how long an outage lasts before all that was struck is put
	// right.
	RecoverAfter time.Duration `json:"recoverAfterNs"`
}

// WinRule is a way to win: an outage of a subject whose lower bound is at least
// so long.
type WinRule struct {
	Subject  string  `json:"subject"`
	OutageMS float64 `json:"outageMs"`
}

const (
	// endFor is how long the end screen keeps the next round from beginning, so
	// that hits under way do not begin it.
	endFor = 8 * time.Second
	// recoverWithin bounds how long a round waits until everything is as before.
	recoverWithin = 3 * time.Minute
	// replacedWithin is how long after a strike a new pod counts as its
	// replacement: the ReplicaSet controller acts within seconds, unless the
	// control plane is down.
	replacedWithin = time.Minute
	// feltWithin is how long after a strike an outage counts as felt from it.
	feltWithin = 15 * time.Second
	// feltMS is how long an outage must surely have been for that.
	feltMS = 100
	// lead is how long before a strike is over a request that it made fail can
	// have begun: a prober waits a second for an answer.
	lead = 2 * time.Second
)

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
