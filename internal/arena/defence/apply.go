package defence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// fieldManager is the name by which the API server knows who wrote a field.
const fieldManager = "zdl-defence"

// carryOut makes every change and observes it, one after the other. What cannot
// be made or does not settle is taken back as a whole.
func (k *Keeper) carryOut(ctx context.Context, r *record) {
	for i := range r.Changes {
		c := &r.Changes[i]
		evidence, err := k.change(ctx, r, c, false)
		if ctx.Err() != nil {
			return // the next daemon takes it back
		}
		if err != nil {
			r.Error = err.Error()
			k.Log.Warn("a defence could not be applied", "defence", r.Name, "error", err)
			k.Record(EntryFailed, r.Name, fmt.Sprintf("%s could not be applied and is taken back: %v", r.Title, err), r.fields())
			k.takeBack(ctx, r)
			return
		}
		r.Evidence = append(r.Evidence, evidence)
		k.show(r)
	}
	r.Stage, r.Since = applied, time.Now().Round(0).UTC()
	if err := k.journal.write(r); err != nil {
		r.Error = err.Error()
		k.takeBack(ctx, r)
		return
	}
	k.show(r)
	k.Record(EntryApplied, r.Name, fmt.Sprintf("%s: applied within %.1f s and observed: %s", r.Title, r.Since.Sub(r.Asked).Seconds(), strings.Join(r.Evidence, "; ")), r.fields())
}

// takeBack puts back what was, the last change first, and observes that, too.
func (k *Keeper) takeBack(ctx context.Context, r *record) {
	r.Stage = undoing
	if err := k.journal.write(r); err != nil {
		k.Log.Error("write the journal of defences", "error", err) // take it back all the same
	}
	k.show(r)
	var left []string
	for i := len(r.Changes) - 1; i >= 0; i-- {
		c := &r.Changes[i]
		if c.Undone {
			continue
		}
		note, err := k.change(ctx, r, c, true)
		if err != nil {
			if ctx.Err() == nil {
				text := fmt.Sprintf("%s is not taken back completely yet, and goes on being tried: %v", r.Title, err)
				if r.Trouble == "" {
					k.Record(EntryFailed, r.Name, text, r.fields())
				}
				r.Trouble = text
				k.show(r)
			}
			return
		}
		if note != "" {
			left = append(left, note)
		}
		c.Undone = true
		if err := k.journal.write(r); err != nil {
			k.Log.Error("write the journal of defences", "error", err)
		}
	}
	if err := k.journal.forget(r); err != nil {
		k.Log.Error("write the journal of defences", "error", err)
	}
	trouble := r.Error
	text := fmt.Sprintf("%s: taken back, everything is as it was", r.Title)
	if len(left) > 0 {
		note := "left as somebody else has made it: " + strings.Join(left, "; ")
		text = fmt.Sprintf("%s: taken back; %s", r.Title, note)
		trouble = strings.TrimPrefix(trouble+"; "+note, "; ")
	}
	k.drop(r, trouble)
	k.Record(EntryOff, r.Name, text, r.fields())
}

// change makes or undoes one change and waits until that has settled. Of an
// undo the text is what was left alone, else the evidence.
func (k *Keeper) change(ctx context.Context, r *record, c *change, undo bool) (string, error) {
	limited, cancel := context.WithTimeout(ctx, k.patience(r.Within))
	defer cancel()
	client, err := k.Client()
	if err != nil {
		return "", err
	}
	var left string
	if c.Node != "" {
		left, err = k.turnFile(c, undo)
	} else {
		left, err = k.turnObject(limited, client, c, undo)
	}
	if err != nil || left != "" && undo {
		return left, err
	}
	evidence, err := k.settled(limited, client, c, undo)
	if err != nil {
		return "", err
	}
	if undo {
		return "", nil
	}
	return evidence, nil
}

// errForeign means that somebody else changed what a defence was to change.
var errForeign = errors.New("somebody else has changed it meanwhile")

// turnObject writes the object by its resource version, so that nobody else's
// change is overwritten.
func (k *Keeper) turnObject(ctx context.Context, client dynamic.Interface, c *change, undo bool) (left string, err error) {
	resource := client.Resource(kinds[c.Kind].resource).Namespace(c.Namespace)
	for {
		o, err := resource.Get(ctx, c.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && string(o.GetUID()) != c.UID {
			if undo {
				return fmt.Sprintf("%s is gone", c.ref), nil
			}
			return "", fmt.Errorf("%s is gone", c.ref)
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", c.ref, err)
		}
		changed, foreign := turn(o.Object, c.Fields, undo)
		if len(foreign) > 0 {
			left = fmt.Sprintf("%s: %s", c.ref, strings.Join(foreign, ", "))
			if !undo {
				return "", fmt.Errorf("%s: %w", left, errForeign)
			}
		}
		if !changed {
			return left, nil
		}
		_, err = resource.Update(ctx, o, metav1.UpdateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
		switch {
		case err == nil:
			return left, nil
		case apierrors.IsConflict(err) && ctx.Err() == nil:
			continue // somebody wrote it between the two: look again
		default:
			return "", fmt.Errorf("write %s: %w", c.ref, err)
		}
	}
}

// turnFile replaces a static pod's file.
func (k *Keeper) turnFile(c *change, undo bool) (left string, err error) {
	if k.Manifests == nil {
		return "", errors.New("the control plane's manifests cannot be reached")
	}
	path := k.Manifests.Path(c.Node, c.Name)
	now, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the manifest of %s: %w", c.ref, err)
	}
	from, to := c.Before, c.After
	if undo {
		from, to = to, from
	}
	switch {
	case string(now) == string(to):
		return "", nil
	case string(now) == string(from):
		return "", writeManifest(path, to)
	case undo:
		return fmt.Sprintf("the manifest of %s", c.ref), nil
	}
	return "", fmt.Errorf("the manifest of %s: %w", c.ref, errForeign)
}
