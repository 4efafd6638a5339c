package fault

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Mode says how many of the things that a selector stands for are struck. The
// words are Chaos Mesh's.
type Mode string

const (
	One              Mode = "one"                // one by chance; the default
	All              Mode = "all"                // every one
	Fixed            Mode = "fixed"              // Value of them
	FixedPercent     Mode = "fixed-percent"      // Value percent of them, rounded up
	RandomMaxPercent Mode = "random-max-percent" // a share by chance, at most Value percent
)

// Modes lists them.
func Modes() []Mode { return []Mode{One, All, Fixed, FixedPercent, RandomMaxPercent} }

// choose picks targets. Equal input gives the equal choice; the order of the
// result is that of the candidates.
func choose(candidates []Target, mode Mode, value int, seed uint64) ([]Target, error) {
	n := len(candidates)
	count := 0
	r := rand.New(rand.NewPCG(seed, 0x7a646c))
	switch mode {
	case One, "":
		count = 1
	case All:
		count = n
	case Fixed:
		if value < 1 || value > n {
			return nil, refuse("--value %d does not fit mode fixed.", value).hint("there are %d targets: 1 to %d", n, n)
		}
		count = value
	case FixedPercent, RandomMaxPercent:
		if value < 1 || value > 100 {
			return nil, refuse("--value %d does not fit mode %s.", value, mode).hint("a percentage from 1 to 100")
		}
		count = int(math.Ceil(float64(n) * float64(value) / 100))
		if mode == RandomMaxPercent {
			count = r.IntN(int(math.Floor(float64(n)*float64(value)/100)) + 1)
			if count == 0 {
				return nil, refuse("By chance no target was chosen: %d%% of %d is less than one, or the dice said zero.", value, n).hint("another --seed, a higher --value, or mode fixed")
			}
		}
	default:
		return nil, refuse("There is no mode %q.", mode).hint("the modes are one, all, fixed, fixed-percent, random-max-percent")
	}
	picked := r.Perm(n)[:count]
	slices.Sort(picked)
	out := make([]Target, count)
	for i, at := range picked {
		out[i] = candidates[at]
	}
	return out, nil
}
