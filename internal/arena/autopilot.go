package arena

import (
	"context"
	"strings"

	"zdl/internal/arena/autopilot"
)

// flight is the arena as the autopilot plays it.
type flight struct{ a *Arena }

// robot is the autopilot as a visitor.
var robot = Visitor{ID: autopilot.Name, Name: autopilot.Name}

// View implements autopilot.Game.
func (f flight) View() autopilot.View {
	s := f.a.State()
	v := autopilot.View{Level: s.Level.Name, Round: s.Round, Damage: s.Rules.Damage}
	f.a.mu.Lock()
	blocked := f.a.game.blocked != ""
	f.a.mu.Unlock()
	v.Open = !blocked && s.Level.Playable && (s.Phase == PhaseReady || s.Phase == PhasePlaying || s.Phase == PhaseDown)
	for _, t := range s.Targets {
		v.Targets = append(v.Targets, autopilot.Target{ID: t.ID, Kind: t.Kind, Zone: t.Zone, Health: t.Health, Max: t.Max,
			Weapons: t.Weapons, Refused: t.Refused != "" || t.Dying || t.Down})
	}
	return v
}

// Hit implements autopilot.Game.
func (f flight) Hit(ctx context.Context, target, weapon string) error {
	_, err := f.a.Hit(ctx, robot, target, weapon)
	return err
}

// Autopilot switches the attacker that plays while nobody else does on or off.
func (a *Arena) Autopilot(on bool) error {
	if a.defender == nil {
		return ErrRefused.because("This arena has no autopilot.")
	}
	a.defender.pilot.Set(on)
	a.defender.bump()
	return nil
}

// arrives tells the autopilot of a person, who may not take its name.
func (a *Arena) arrives(who *Visitor) {
	if who.ID == robot.ID {
		return
	}
	if strings.EqualFold(strings.TrimSpace(who.Name), robot.Name) {
		who.Name = "somebody"
	}
	if a.defender != nil {
		a.defender.pilot.Person()
	}
}

// flown tells whether the autopilot hit in this round, which then is none of the
// visitors' own.
func (g *game) flown() bool { return g.players[robot.ID] != nil }
