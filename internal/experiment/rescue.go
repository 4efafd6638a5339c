package experiment

import (
	"context"
	"errors"
	"time"
)

// rescueLooks is how often in a row nothing may be found before a lab counts as
// healed: an attack that was asked for with the last breath may still be proven.
const rescueLooks = 4

// Rescue puts a lab right after the process that carried out an experiment was
// killed: it heals what that attacked, and then undoes what kubectl did, the latest
// first. What cannot be done at once is tried again until ctx ends.
func Rescue(ctx context.Context, lab Lab, by string, undo []Undo) error {
	var errs error
	for quiet := 0; quiet < rescueLooks; {
		attacks, err := lab.Attacks(ctx)
		active := 0
		for _, a := range attacks {
			if a.By == by && !a.State.Over() {
				active++
				_, _ = lab.Heal(ctx, a.ID) // the engine goes on trying, and so does this
			}
		}
		if quiet++; active > 0 || err != nil {
			quiet = 0
		}
		if wait(ctx, lookEvery) != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	for i := len(undo) - 1; i >= 0; i-- {
		for {
			attempt, cancel := context.WithTimeout(ctx, healLimit)
			_, err := lab.Kubectl(attempt, undo[i].Args, undo[i].Stdin)
			cancel()
			if err == nil {
				break
			}
			if wait(ctx, time.Second) != nil {
				errs = errors.Join(errs, err)
				break
			}
		}
	}
	return errs
}
