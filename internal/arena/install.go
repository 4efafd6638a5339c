package arena

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Installable is something that a level can have installed when it is chosen.
type Installable struct {
	// Title says what it is: "a PostgreSQL of three members".
	Title string
	// Missing says why this lab cannot have it, "" if it can.
	Missing string
	// Install returns when it is ready.
	Install func(ctx context.Context) error
}

// EntryPreparing is the timeline's kind of the beginning of an installation.
const EntryPreparing = "level-preparing"

// Preparing is a level that was chosen and is not ready yet.
type Preparing struct {
	Level  string    `json:"level"`
	Title  string    `json:"title"`
	Text   string    `json:"text"`             // what is being done
	Since  time.Time `json:"since"`            // of the choice
	Failed string    `json:"failed,omitempty"` // why it came to nothing; kept until the next choice
}

// installs tells whether choosing a level would install something first: what it
// strikes is not there, and can be.
func (a *Arena) installs(l *Level) bool {
	what, ok := a.Installable[l.Install]
	return l.Install != "" && ok && what.Missing == ""
}

// prepare has what a level needs installed and then plays it. The caller holds the
// lock.
func (a *Arena) prepare(l *Level) error {
	if p := a.preparing; p != nil && p.Failed == "" {
		return ErrUnplayable.because("Level %s is being prepared: wait until it is.", p.Level)
	}
	if a.ctx == nil {
		return ErrUnplayable.because("The arena is not running.")
	}
	what := a.Installable[l.Install]
	p := &Preparing{Level: l.Name, Title: l.Title, Text: "installing " + what.Title, Since: time.Now()}
	a.preparing = p
	a.version++
	a.Timeline.Add(EntryPreparing, l.Name, fmt.Sprintf("Level %d is being prepared: installing %s", l.Number, what.Title), map[string]string{"level": l.Name})
	ctx := a.ctx
	a.work.Go(func() {
		err := what.Install(ctx)
		if err == nil {
			err = a.awaitPlayable(ctx, l.Name)
		}
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		defer a.wake()
		a.version++
		if err != nil {
			p.Failed = err.Error()
			a.Log.Warn("a level could not be prepared", "level", l.Name, "error", err)
			return
		}
		a.preparing = nil
		a.choose(l)
	})
	return nil
}

// seenWithin is how long the view of the cluster may take to show what was installed.
const seenWithin = 15 * time.Second

// awaitPlayable waits until a level's targets are seen.
func (a *Arena) awaitPlayable(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	for {
		changed := a.Cluster.Changed()
		var info LevelInfo
		a.locked(func(time.Time) {
			a.relist()
			if i := slices.IndexFunc(a.infos, func(l LevelInfo) bool { return l.Name == name }); i >= 0 {
				info = a.infos[i]
			}
		})
		if info.Playable && info.Installs == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("installed, but not seen within %v: %s", seenWithin, info.Why)
		case <-changed:
		}
	}
}
