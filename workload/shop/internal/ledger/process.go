package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// batch is how many events are relayed or processed in one transaction.
const batch = 200

// Relay implements Store. The rows stay locked while they are published, so that
// replicas share the work; a crash before the commit publishes them once more.
func (p *Postgres) Relay(ctx context.Context, publish func(context.Context, Event) error) (int, error) {
	var relayed []int64
	var failure error
	err := p.try(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, columns+`where seq in (select seq from outbox order by seq limit $1 for update skip locked) order by seq`, batch)
			if err != nil {
				return err
			}
			events, err := pgx.CollectRows(rows, scan)
			if err != nil || len(events) == 0 {
				return err
			}
			relayed, failure = handOn(ctx, events, publish)
			_, err = tx.Exec(ctx, "delete from outbox where seq = any($1)", relayed)
			return err
		})
	})
	return len(relayed), errors.Join(failure, err)
}

// handOn publishes all events at once, since a broker confirms many as fast as
// one, and returns those for which that went well.
func handOn(ctx context.Context, events []Event, publish func(context.Context, Event) error) (relayed []int64, failure error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout/2) // the rest of the transaction has to fit in too
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, e := range events {
		all.Go(func() {
			err := publish(ctx, e)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = err
				return
			}
			relayed = append(relayed, e.Seq)
		})
	}
	all.Wait()
	return relayed, failure
}

// Process implements Store: takes events that are pending and applies what they
// change, in one transaction, so that each counts exactly once. One replica does
// it at a time; the others find the lock taken and have nothing to do.
func (p *Postgres) Process(ctx context.Context) (n int, err error) {
	err = p.try(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			var mine bool
			if err := tx.QueryRow(ctx, "select pg_try_advisory_xact_lock($1)", lockProcess).Scan(&mine); err != nil || !mine {
				return err
			}
			rows, err := tx.Query(ctx, `
				with taken as (delete from pending where seq in (select seq from pending order by seq limit $1) returning seq)
				`+columns+`where seq in (select seq from taken)`, batch)
			if err != nil {
				return err
			}
			events, err := pgx.CollectRows(rows, scan)
			if err != nil || len(events) == 0 {
				return err
			}
			n = len(events)
			return add(ctx, tx, Fold(events))
		})
	})
	return n, err
}

// add adds the state that follows from some events to what is stored.
func add(ctx context.Context, tx pgx.Tx, s State) error {
	var b pgx.Batch
	for _, product := range slices.Sorted(maps.Keys(s.Stock)) {
		b.Queue(`insert into stock values ($1, $2) on conflict (product) do update set units = stock.units + excluded.units`, product, s.Stock[product])
	}
	for _, day := range slices.Sorted(maps.Keys(s.Days)) {
		d := s.Days[day]
		b.Queue(`insert into days values ($1, $2, $3, $4) on conflict (day) do update
			set orders = days.orders + excluded.orders, refused = days.refused + excluded.refused, cents = days.cents + excluded.cents`, day, d.Orders, d.Refused, int64(d.Cents))
	}
	for _, id := range slices.Sorted(maps.Keys(s.Parcels)) {
		parcel := s.Parcels[id]
		// Forward only, as in State.advance.
		b.Queue(`insert into parcels values ($1, $2, $3) on conflict (order_id) do update set stage = excluded.stage, tracking = excluded.tracking
			where array_position($4::text[], excluded.stage) > array_position($4::text[], parcels.stage)`, id, string(parcel.Stage), parcel.Tracking, stages)
	}
	if b.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &b).Close()
}

// stages in the order of their rank.
var stages = []string{string(StageAccepted), string(StageRefused), string(StageDispatched)}
