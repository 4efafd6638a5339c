package defence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
)

// Kinds of entries that a Keeper adds to the timeline.
const (
	EntryApplying = "defence-applying"
	EntryApplied  = "defence-applied"
	EntryFailed   = "defence-failed"
	EntryOff      = "defence-off"
)

// Config is what a Keeper is made of.
type Config struct {
	// Dir survives the daemon and a reboot.
	Dir string
	// Client speaks to the API server.
	Client func() (dynamic.Interface, error)
	// Manifests of the control plane; nil where it cannot be reached.
	Manifests Manifests
	Facts     func() Facts
	// Busy says why nothing may be changed now: a round is being played, a fault
	// is active; "" when it may. nil: always.
	Busy func() string
	// Record adds an entry to the timeline; nil: none is kept.
	Record func(kind, subject, text string, fields map[string]string)
	Log    *slog.Logger // default: discarded
}

// Keeper applies defences, one at a time, and takes them back. It may die at any
// moment: another one with the same directory goes on.
type Keeper struct {
	Config
	journal *journal
	preview previewer
	retry   time.Duration // between two tries to take one back
	poll    time.Duration // between two looks whether it has settled
	// patience is how long a change may take to settle whose record says so.
	patience func(time.Duration) time.Duration

	work sync.WaitGroup

	mu       sync.Mutex
	records  map[string]record // what is not off, by name, as others see it
	troubles map[string]string // why the latest attempt at one that is off failed
	working  string            // name of the one that is being changed, ""
	running  context.Context   // of Run; nil before and after
	wake     chan struct{}
}

const (
	retryEvery = 2 * time.Second
	pollEvery  = 250 * time.Millisecond
	// planPatience bounds the look at what is to be changed.
	planPatience = 10 * time.Second
)

// New reads what is written in the directory. Nothing is done before Run. The
// error of a damaged file comes beside a Keeper that works.
func New(c Config) (*Keeper, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Record == nil {
		c.Record = func(string, string, string, map[string]string) {}
	}
	if c.Busy == nil {
		c.Busy = func() string { return "" }
	}
	j, err := openJournal(c.Dir)
	if err != nil {
		return nil, err
	}
	k := &Keeper{Config: c, journal: j, preview: dryRun, retry: retryEvery, poll: pollEvery, patience: func(d time.Duration) time.Duration { return d },
		records: map[string]record{}, troubles: map[string]string{}, wake: make(chan struct{})}
	all, err := j.read()
	for _, r := range all {
		k.records[r.Name] = *r
	}
	return k, err
}

// Run takes back what an earlier daemon left half done, tries again what could
// not be taken back, and returns when ctx has ended and nothing is being done
// any more.
func (k *Keeper) Run(ctx context.Context) {
	k.mu.Lock()
	k.running = ctx
	k.mu.Unlock()
	defer k.work.Wait()
	defer func() {
		k.mu.Lock()
		k.running = nil
		k.mu.Unlock()
	}()
	k.resume()
	for {
		changed := k.Changed()
		var again <-chan time.Time
		if k.unfinished() != nil {
			again = time.After(k.retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again:
			k.resume()
		}
	}
}

// unfinished is the oldest record that nobody works on although it must be taken
// back, or nil.
func (k *Keeper) unfinished() *record {
	k.mu.Lock()
	defer k.mu.Unlock()
	var oldest *record
	for _, r := range k.records {
		if r.Stage != applied && k.working == "" && (oldest == nil || r.Asked.Before(oldest.Asked)) {
			oldest = &r
		}
	}
	return oldest
}

// resume begins to take back what is unfinished, unless something forbids it.
func (k *Keeper) resume() {
	r := k.unfinished()
	if r == nil || k.Busy() != "" {
		return
	}
	ctx, err := k.take(r.Name)
	if err != nil {
		return // somebody was faster
	}
	if r.Stage == applying {
		r.Error = "the lab was stopped before it was applied"
	}
	go func() {
		defer k.release()
		k.takeBack(ctx, r)
	}()
}

// Apply begins to apply a defence; the level is only noted. A refusal is of type
// *Error and means that nothing was touched. What becomes of it is in States.
func (k *Keeper) Apply(ctx context.Context, level string, d *Defence, by string) error {
	if err := d.Check(); err != nil {
		return fmt.Errorf("defence %q: %w", d.Name, err)
	}
	if d.Unavailable != "" {
		return refuse("it is told about, not applied", "%s: %s", d.Title, strings.TrimSpace(d.Unavailable))
	}
	if lack := d.Needs.lacks(k.Facts()); lack != "" {
		return refuse("choose another defence", "%s cannot be applied to this lab: %s.", d.Title, lack)
	}
	if why := k.Busy(); why != "" {
		return refuse("try again when that is over", "The cluster cannot be changed now: %s.", why)
	}
	running, err := k.take(d.Name)
	if err != nil {
		return err
	}
	begun := false
	defer func() {
		if !begun {
			k.release()
		}
	}()
	k.mu.Lock()
	was, there := k.records[d.Name]
	delete(k.troubles, d.Name)
	k.mu.Unlock()
	if there {
		if was.Stage == applied {
			return refuse("switch it off first", "%s is applied already.", d.Title)
		}
		return refuse("try again in a moment", "%s is being taken back.", d.Title)
	}
	r := &record{Level: level, Name: d.Name, Title: d.Title, By: by, Stage: applying, Asked: time.Now().Round(0).UTC(), Within: d.within()}
	planning, cancel := context.WithTimeout(running, planPatience)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	if r.Changes, err = k.plan(planning, d); err != nil {
		return err
	}
	if err := k.clash(r); err != nil {
		return err
	}
	if err := k.journal.write(r); err != nil {
		return err
	}
	k.show(r)
	k.Record(EntryApplying, d.Name, fmt.Sprintf("%s: %s (%s)", by, d.Title, r.summary()), r.fields())
	begun = true
	go func() {
		defer k.release()
		k.carryOut(running, r)
	}()
	return nil
}

// Off begins to take a defence back.
func (k *Keeper) Off(name, by string) error {
	if why := k.Busy(); why != "" {
		return refuse("try again when that is over", "The cluster cannot be changed now: %s.", why)
	}
	running, err := k.take(name)
	if err != nil {
		return err
	}
	k.mu.Lock()
	r, there := k.records[name]
	k.mu.Unlock()
	if !there {
		k.release()
		return refuse("choose one that is applied", "The defence %s is not applied.", name)
	}
	go func() {
		defer k.release()
		k.takeBack(running, &r)
	}()
	return nil
}

// AllOff takes back every defence and returns when that is done, or with the
// reason why it is not.
func (k *Keeper) AllOff(ctx context.Context, by string) error {
	for {
		changed := k.Changed()
		k.mu.Lock()
		working := k.working != ""
		var left []record
		for _, r := range k.records {
			left = append(left, r)
		}
		k.mu.Unlock()
		if len(left) == 0 && !working {
			return nil
		}
		if !working {
			// The latest first: it may have been built on an earlier one.
			slices.SortFunc(left, func(a, b record) int { return b.Asked.Compare(a.Asked) })
			if left[0].Trouble != "" {
				return errors.New(left[0].Trouble)
			}
			if err := k.Off(left[0].Name, by); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// take makes the caller the only one who changes anything, until release.
func (k *Keeper) take(name string) (context.Context, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.running == nil || k.running.Err() != nil:
		return nil, refuse("zdl up starts it again", "The lab is starting or being stopped.")
	case k.working != "":
		return nil, refuse("try again when that is done", "The defence %s is being changed: one at a time.", k.working)
	}
	k.working = name
	k.work.Add(1)
	k.wakeLocked()
	return k.running, nil
}

func (k *Keeper) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.working = ""
	k.wakeLocked()
	k.work.Done()
}

// clash refuses what changes a place that another defence holds.
func (k *Keeper) clash(r *record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, other := range k.records {
		for _, c := range r.Changes {
			for _, o := range other.Changes {
				if c.ref != o.ref {
					continue
				}
				if c.After != nil {
					return refuse("switch that one off first", "%s is held by the defence %s.", c.ref, other.Name)
				}
				for _, f := range c.Fields {
					for _, g := range o.Fields {
						if overlap(f.Path, g.Path) {
							return refuse("switch that one off first", "%s of %s is held by the defence %s.", f, c.ref, other.Name)
						}
					}
				}
			}
		}
	}
	return nil
}

// show publishes a record.
func (k *Keeper) show(r *record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records[r.Name] = *r
	k.wakeLocked()
}

// drop publishes that a defence is off, with why if that was not asked for.
func (k *Keeper) drop(r *record, trouble string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.records, r.Name)
	if trouble != "" {
		k.troubles[r.Name] = trouble
	}
	k.wakeLocked()
}

func (k *Keeper) wakeLocked() {
	close(k.wake)
	k.wake = make(chan struct{})
}

// Changed gives a channel that is closed at the next change of any state.
func (k *Keeper) Changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wake
}

// Changing names the defence that is being applied or taken back, "" when none is.
func (k *Keeper) Changing() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.working
}

// Applied names the defences that are applied, of all levels, in the order in
// which they were.
func (k *Keeper) Applied() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []record
	for _, r := range k.records {
		if r.Stage == applied {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b record) int { return a.Asked.Compare(b.Asked) })
	out := []string{}
	for _, r := range all {
		out = append(out, r.Name)
	}
	return out
}

// States tells how far each defence of a level is. Defences of the same name are
// one, whichever level they were applied in.
func (k *Keeper) States(all []Defence) []Status {
	facts := k.Facts()
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]Status, 0, len(all))
	for i := range all {
		d := &all[i]
		s := Status{Name: d.Name, Title: d.Title, Why: strings.TrimSpace(d.Why), Docs: d.Docs, Unavailable: strings.TrimSpace(d.Unavailable)}
		if lack := d.Needs.lacks(facts); lack != "" && s.Unavailable == "" {
			s.Unavailable = "Not on this lab: " + lack + "."
		}
		s.Applying, s.Trouble = k.working == d.Name, k.troubles[d.Name]
		if r, there := k.records[d.Name]; there {
			s.Applied = r.Stage == applied && k.working != d.Name
			s.Applying = s.Applying || r.Stage == undoing
			s.Trouble, s.Evidence, s.Since = r.Trouble, r.Evidence, r.Since
		}
		out = append(out, s)
	}
	return out
}

func (r *record) summary() string {
	var said []string
	for _, c := range r.Changes {
		said = append(said, c.summary())
	}
	return strings.Join(said, "; ")
}

func (c *change) summary() string {
	if c.After != nil {
		return fmt.Sprintf("the manifest of %s", c.ref)
	}
	var said []string
	for _, f := range c.Fields {
		said = append(said, f.change())
	}
	return fmt.Sprintf("%s: %s", c.ref, strings.Join(said, ", "))
}

func (r *record) fields() map[string]string {
	return map[string]string{"level": r.Level, "defence": r.Name, "by": r.By}
}
