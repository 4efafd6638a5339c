package fault

import (
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
	RandomMaxPercent Mode = "random-max-percent" // a number by chance: at least one, at most Value percent
)

// Modes lists them.
func Modes() []Mode { return []Mode{One, All, Fixed, FixedPercent, RandomMaxPercent} }

// choose picks targets. Equal input gives the equal choice; the order of the
// result is that of the candidates.
func choose(candidates []Target, mode Mode, value int, seed uint64) ([]Target, error) {
	n := len(candidates)
	count := 0
	r := rand.New(rand.NewPCG(seed, 0x7a646c))
	counted := mode != One && mode != All && mode != ""
	switch {
	case !slices.Contains(Modes(), mode) && mode != "":
		return nil, refuse("There is no mode %q.", mode).hint("the modes are one, all, fixed, fixed-percent, random-max-percent")
	case !counted && value != 0:
		return nil, refuse("--value %d has no meaning without a mode that counts.", value).hint("--mode fixed, fixed-percent or random-max-percent")
	case mode == Fixed && (value < 1 || value > n):
		return nil, refuse("--value %d does not fit mode fixed.", value).hint("1 to %d: that many targets there are", n)
	case counted && mode != Fixed && (value < 1 || value > 100):
		return nil, refuse("--value %d does not fit mode %s.", value, mode).hint("a percentage from 1 to 100")
	}
	switch mode {
	case One, "":
		count = 1
	case All:
		count = n
	case Fixed:
		count = value
	case FixedPercent:
		count = (n*value + 99) / 100
	case RandomMaxPercent:
		most := n * value / 100
		if most == 0 {
			return nil, refuse("%d %% of %d is less than one target.", value, n).hint("at least --value %d, or mode fixed-percent, which rounds up", (100+n-1)/n)
		}
		count = 1 + r.IntN(most)
	}
	picked := r.Perm(n)[:count]
	slices.Sort(picked)
	out := make([]Target, count)
	for i, at := range picked {
		out[i] = candidates[at]
	}
	return out, nil
}
