package experiment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"zdl/internal/fault"
)

// prepare does what the setup says.
func (c *carrier) prepare(ctx context.Context) error {
	for i := range c.e.Setup {
		a := &c.e.Setup[i]
		if err := c.await(ctx, a); err != nil {
			return fmt.Errorf("setup %d: %w", i+1, err)
		}
		undo, err := c.change(ctx, a, true)
		c.cleanup = append(c.cleanup, undo...)
		if err != nil {
			return fmt.Errorf("setup %d: %w", i+1, err)
		}
	}
	return nil
}

// method does one action after the other.
func (c *carrier) method(ctx context.Context) error {
	if err := wait(ctx, c.e.Before); err != nil {
		return err
	}
	if outages, err := c.Outages(ctx, c.outage); err != nil {
		return err
	} else if len(outages) > 0 {
		return fmt.Errorf("users were not served before anything was broken: %d outages", len(outages))
	}
	c.began = time.Now()
	for i := range c.e.Method {
		a := &c.e.Method[i]
		if err := c.await(ctx, a); err != nil {
			return fmt.Errorf("method %d: %w", i+1, err)
		}
		if err := c.do(ctx, a, i); err != nil {
			return fmt.Errorf("method %d: %w", i+1, err)
		}
	}
	return nil
}

// await waits for the moment of an action.
func (c *carrier) await(ctx context.Context, a *Action) error {
	if a.At > 0 {
		if err := wait(ctx, time.Until(c.began.Add(a.At))); err != nil {
			return err
		}
	}
	if err := wait(ctx, a.After); err != nil {
		return err
	}
	if a.When != nil {
		return c.when(ctx, a)
	}
	return nil
}

func (c *carrier) do(ctx context.Context, a *Action, index int) error {
	switch {
	case a.Attack != nil:
		return c.attack(ctx, a, index)
	case a.Heal == "all":
		c.say("heal everything")
		_, err := c.HealAll(ctx)
		c.healed()
		return err
	case a.Heal != "":
		c.say("heal " + a.Heal)
		_, err := c.Heal(ctx, c.named[a.Heal])
		c.healed()
		return err
	}
	undo, err := c.change(ctx, a, false)
	c.undo = append(c.undo, undo...)
	return err
}

func (c *carrier) attack(ctx context.Context, a *Action, index int) error {
	r := *a.Attack
	r.By = c.e.By()
	if r.Seed == 0 {
		r.Seed = c.run.Seed + uint64(index)
	}
	guessed := r.For == 0 && !c.momentary(&r)
	if guessed {
		// Until the method heals it; but not for ever, should this process die.
		r.For = c.e.length() + healLimit
	}
	c.injected()
	got, err := c.Attack(ctx, r)
	if err != nil {
		return fmt.Errorf("the fault %s was not proven, so the run proves nothing: %w", r.Kind, err)
	}
	c.bounded[got.ID] = guessed
	if a.Name != "" {
		c.named[a.Name] = got.ID
	}
	names := make([]string, len(got.Targets))
	for i, t := range got.Targets {
		names[i] = t.Name
		c.struck[t.Name] = true
	}
	c.say(fmt.Sprintf("%s on %s, proven after %.0f ms", got.Kind, strings.Join(names, ", "), got.VerifyMS))
	if n := c.e.Guard.Targets; n > 0 && len(c.struck) > n {
		return early("%d targets were struck, and the guard allows %d", len(c.struck), n)
	}
	return nil
}

// momentary tells whether a fault, or every part of it, is over once it happened.
func (c *carrier) momentary(r *fault.Request) bool {
	if len(r.Parts) == 0 {
		return c.instant[r.Kind]
	}
	return !slices.ContainsFunc(r.Parts, func(p fault.Request) bool { return !c.instant[p.Kind] })
}

func (c *carrier) injected() {
	c.mu.Lock() // watch reads it
	defer c.mu.Unlock()
	if c.run.Seen.Injected.IsZero() {
		c.run.Seen.Injected = time.Now().Round(0)
	}
}

func (c *carrier) healed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run.Seen.Healed = time.Now().Round(0)
}

// change does what an action says of kubectl and apply, and returns how to take
// it back, the last to be done first, also when it failed half-way.
func (c *carrier) change(ctx context.Context, a *Action, setup bool) ([]Undo, error) {
	args := a.Kubectl
	if a.Apply != "" {
		args = []string{"apply", "-f", "-"}
	}
	if len(args) == 0 {
		return nil, nil
	}
	undo, err := c.undoOf(ctx, a)
	if err != nil {
		return nil, err
	}
	slices.Reverse(undo)
	for i := range undo {
		if c.rope == nil {
			break
		}
		if err := c.rope.Note(undo[i]); err != nil {
			return nil, fmt.Errorf("note how to undo it: %w", err)
		}
	}
	if !setup {
		c.injected()
	}
	err = c.kubectl(ctx, args, a.Apply, setup)
	if a.Fails == nil || ctx.Err() != nil {
		return undo, err
	}
	if err == nil {
		return undo, early("kubectl %s succeeded, and was expected to fail", strings.Join(args, " "))
	}
	if !a.Fails.MatchString(err.Error()) {
		return undo, early("kubectl failed in another way than expected (%s): %v", a.Fails, err)
	}
	return undo, nil
}

// undoOf says how to take an action back, the first to be done first.
func (c *carrier) undoOf(ctx context.Context, a *Action) ([]Undo, error) {
	var undo []Undo
	if a.Apply != "" {
		undo = append(undo, Undo{Args: []string{"delete", "-f", "-", "--ignore-not-found", "--timeout=60s"}, Stdin: a.Apply})
	}
	if len(a.Keep) > 0 {
		out, err := c.Kubectl(ctx, append(append([]string{"get"}, a.Keep...), "-o", "json"), "")
		if err != nil {
			return nil, fmt.Errorf("keep: %w", err)
		}
		original, err := restorable([]byte(out))
		if err != nil {
			return nil, fmt.Errorf("keep %s: %w", strings.Join(a.Keep, " "), err)
		}
		undo = append(undo, Undo{Args: []string{"replace", "-f", "-"}, Stdin: original})
	}
	for _, words := range a.Undo {
		undo = append(undo, Undo{Args: words})
	}
	return undo, nil
}

// restorable is an object without what only the API server writes, so that it can
// replace a later version of itself. Doing that twice does no harm, in contrast to
// kubectl rollout undo.
func restorable(data []byte) (string, error) {
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return "", err
	}
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("it is not one object")
	}
	delete(object, "status")
	for _, field := range []string{"resourceVersion", "uid", "generation", "creationTimestamp", "managedFields"} {
		delete(metadata, field)
	}
	out, err := json.Marshal(object)
	return string(out), err
}

func (c *carrier) kubectl(ctx context.Context, args []string, stdin string, setup bool) error {
	k := KubectlRun{At: time.Now().Round(0), Args: args, Setup: setup}
	var err error
	k.Output, err = c.Kubectl(ctx, args, stdin)
	if err != nil {
		k.Error = err.Error()
	}
	c.run.Seen.Kubectl = append(c.run.Seen.Kubectl, k)
	c.say(fmt.Sprintf("kubectl %s: %s", strings.Join(args, " "), firstLine(k.Output)))
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// length is how long the run may take at most, as far as its file says.
func (e *Experiment) length() time.Duration {
	d := e.Before + e.After
	for _, a := range e.Method {
		d += a.After + a.Within
		if len(a.Kubectl) > 0 || a.Apply != "" {
			d += kubectlLimit
		}
		if a.Attack != nil {
			d += a.Attack.Pause * time.Duration(len(a.Attack.Parts))
		}
		d = max(d, e.Before+a.At)
	}
	if e.Load != nil && !e.LoadUntilOver {
		d = max(d, e.Load.Open.Duration(), e.Load.Closed.Duration())
	}
	return d + time.Minute
}
