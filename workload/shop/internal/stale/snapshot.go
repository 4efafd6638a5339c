// Package stale keeps the last good answer of a store, so that a reader gets
// something slightly old instead of nothing, and always knows how old it is.
package stale

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrNothing is returned when the store has never answered and does not now.
var ErrNothing = errors.New("there is no earlier answer")

// Snapshot is a value that a store gave and that is asked for again when it is
// used later than Fresh after that. It is safe for concurrent use; however many
// ask, at most one asks the store. Set the fields before the first Get.
type Snapshot[T any] struct {
	Fetch func(ctx context.Context) (T, error)
	Fresh time.Duration // how long an answer counts as the store's own
	Wait  time.Duration // how long a reader waits for the store before it gets the old answer
	Limit time.Duration // after which asking the store is given up

	// Now is the clock, time.Now if nil.
	Now func() time.Time

	mu        sync.Mutex
	value     T
	confirmed time.Time // when the store was asked for value; zero: never
	failed    time.Time // when the store was last asked in vain, if after that
	err       error     // why in vain
	expired   time.Time // what was asked for before this is missing a change
	asking    chan struct{}
	begun     time.Time
}

// Get is the value and its age. The age is zero while the value is fresh, and at
// least a second from then on, so that it can be said in whole seconds and be
// told from a fresh one.
func (s *Snapshot[T]) Get(ctx context.Context) (T, time.Duration, error) {
	s.mu.Lock()
	now := s.now()
	age := now.Sub(s.confirmed)
	switch {
	case !s.confirmed.IsZero() && age < s.Fresh:
		if age > s.Fresh/2 { // soon to be old: ask already, and let nobody wait
			s.ask(now)
		}
		defer s.mu.Unlock()
		return s.value, 0, nil
	case s.asking != nil && now.Sub(s.begun) > s.Wait, s.asking == nil && !s.failed.IsZero() && now.Sub(s.failed) < s.Fresh:
		// The store is slow or has just failed: asking again would only make
		// every reader slow.
		defer s.mu.Unlock()
		return s.old(now)
	}
	answered := s.ask(now)
	s.mu.Unlock()

	timer := time.NewTimer(s.Wait)
	defer timer.Stop()
	select {
	case <-answered:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.old(s.now())
}

// Expire makes the next Get ask the store: the value is known to have changed.
func (s *Snapshot[T]) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = s.now()
	if !s.confirmed.IsZero() {
		s.confirmed = s.expired.Add(-s.Fresh)
	}
	s.failed = time.Time{}
}

// old is what is there, as old as it is. The mutex is held.
func (s *Snapshot[T]) old(now time.Time) (T, time.Duration, error) {
	if s.confirmed.IsZero() {
		err := s.err
		if err == nil {
			err = errors.New("the store has not answered yet")
		}
		return s.value, 0, errors.Join(ErrNothing, err)
	}
	age := now.Sub(s.confirmed)
	if age < s.Fresh {
		return s.value, 0, nil
	}
	return s.value, max(age, time.Second), nil
}

// ask has the store asked, once at a time. The mutex is held.
func (s *Snapshot[T]) ask(now time.Time) <-chan struct{} {
	if s.asking != nil {
		return s.asking
	}
	done := make(chan struct{})
	s.asking, s.begun = done, now
	go func() {
		// Not the reader's context: others wait for the same answer.
		ctx, cancel := context.WithTimeout(context.Background(), s.Limit)
		defer cancel()
		value, err := s.Fetch(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil {
			// As of when it was asked for: what was written since may be missing.
			s.value, s.confirmed, s.failed, s.err = value, now, time.Time{}, nil
			if now.Before(s.expired) {
				s.confirmed = now.Add(-s.Fresh)
			}
		} else {
			s.failed, s.err = s.now(), err
		}
		s.asking = nil
		close(done)
	}()
	return done
}

func (s *Snapshot[T]) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
