// Package arena is the game of level 1: visitors hit the pods of a live service
// until it is down. Health is a rule of the game. What happens at zero is not:
// the pod is really deleted, Kubernetes really replaces it, and "down" is only
// what the prober measured.
package arena

import "time"

// Rules are the numbers of the game.
//
// They are tuned so that one visitor at six clicks a second kills one pod in
// less than two seconds, but not three in a row: on the lab itself a replacement
// was ready 0.9 to 2 s after a kill. Who weakens all three first and finishes
// them in quick succession, or brings friends, gets there; a pod left alone for
// three seconds then heals a hit's worth every two.
type Rules struct {
	// Health of a full pod, in points.
	Health float64 `json:"health"`
	// FreshHealth is what a replacement starts with: it has yet to warm up.
	FreshHealth float64 `json:"freshHealth"`
	// Damage of one hit, in points.
	Damage float64 `json:"damage"`
	// HealPerSecond is what a pod regains, in points a second, once it was not
	// hit for HealAfter.
	HealPerSecond float64       `json:"healPerSecond"`
	HealAfter     time.Duration `json:"healAfterNs"`
	// HitsPerSecond and Burst limit each visitor.
	HitsPerSecond float64 `json:"hitsPerSecond"`
	Burst         float64 `json:"burst"`
	// AllHitsPerSecond limits all visitors together.
	AllHitsPerSecond float64 `json:"allHitsPerSecond"`
	// Grace is what the pod gets to stop. Zero is a kill, as by
	// `kubectl delete pod --grace-period=0 --force`: its endpoint is withdrawn
	// at once and the kubelet kills it after at most a second. With the pod's
	// own grace it would go on serving until its replacement is ready.
	Grace time.Duration `json:"graceNs"`
	// WinAfterMS is the lower bound of a measured outage that counts as having
	// brought the service down, in ms.
	WinAfterMS float64 `json:"winAfterMs"`
	// Lookback is how long before an outage a kill counts as its cause.
	Lookback time.Duration `json:"lookbackNs"`
	// Simultaneous bounds how many targets are struck at the same time; 0: all.
	Simultaneous int `json:"simultaneous"`
	// GiveUp is how long a round lasts at most: then the cluster has held.
	GiveUp time.Duration `json:"giveUpNs"`
	// RecoverAfter is how long an outage lasts before all that was struck is put
	// right.
	RecoverAfter time.Duration `json:"recoverAfterNs"`
}

// DefaultRules are those of level 1.
func DefaultRules() Rules {
	return Rules{
		Health: 100, FreshHealth: 50, Damage: 10,
		HealPerSecond: 5, HealAfter: 3 * time.Second,
		HitsPerSecond: 8, Burst: 8, AllHitsPerSecond: 200,
		Grace: 0, WinAfterMS: 100, Lookback: 15 * time.Second,
	}
}
