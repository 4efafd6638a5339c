package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"zdl/workload/shop/internal/money"
)

// Rebuild makes the processed data again, from the ledger alone, and returns how
// many events it read. Orders can be taken meanwhile: what is appended after the
// rebuild began stays pending and is processed after it.
func (p *Postgres) Rebuild(ctx context.Context) (events int, err error) {
	err = p.exclusively(ctx, pgx.RepeatableRead, func(tx pgx.Tx) error {
		for _, table := range []string{"pending", "stock", "days", "parcels"} {
			// Not truncate, which would empty it for older snapshots too.
			if _, err := tx.Exec(ctx, "delete from "+table); err != nil {
				return err
			}
		}
		s, n, err := fold(ctx, tx, "")
		if err != nil {
			return err
		}
		events = n
		return add(ctx, tx, s)
	})
	return events, err
}

// Compare says where the processed data differ from what follows from the ledger,
// in at most limit sentences, and how many events it read and how many of them were
// pending. It may run while orders are taken: it sees one moment of everything.
func (p *Postgres) Compare(ctx context.Context, limit int) (differences []string, events, pending int, err error) {
	err = p.exclusively(ctx, pgx.RepeatableRead, func(tx pgx.Tx) error {
		s, n, err := fold(ctx, tx, "where seq not in (select seq from pending)")
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "select count(*) from pending").Scan(&pending); err != nil {
			return err
		}
		stored, err := read(ctx, tx)
		if err != nil {
			return err
		}
		events, differences = n+pending, Diff(s, stored, limit)
		return nil
	})
	return differences, events, pending, err
}

// exclusively runs a transaction while nobody processes events. The lock is taken
// on the connection before the transaction begins: its snapshot must not be
// older than the work of whoever held the lock.
func (p *Postgres) exclusively(ctx context.Context, level pgx.TxIsoLevel, do func(pgx.Tx) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", lockProcess); err != nil {
		return err
	}
	defer func() {
		_, _ = conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", lockProcess)
	}()
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: level}, do)
}

// fold reads events one by one: the ledger may be larger than the memory.
func fold(ctx context.Context, tx pgx.Tx, where string) (s State, n int, err error) {
	rows, err := tx.Query(ctx, columns+where+" order by seq")
	if err != nil {
		return State{}, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return State{}, 0, err
		}
		s.Apply(e)
		n++
	}
	return s, n, rows.Err()
}

// read is the processed data as they are stored.
func read(ctx context.Context, tx pgx.Tx) (State, error) {
	s := State{Stock: map[string]int64{}, Days: map[string]Day{}, Parcels: map[string]Parcel{}}
	var name, stage, tracking string
	var a, b, c int64
	for _, q := range []struct {
		sql  string
		into []any
		keep func()
	}{
		{"select product, units from stock", []any{&name, &a}, func() { s.Stock[name] = a }},
		{"select day, orders, refused, cents from days", []any{&name, &a, &b, &c}, func() { s.Days[name] = Day{a, b, money.Cents(c)} }},
		{"select order_id, stage, tracking from parcels", []any{&name, &stage, &tracking}, func() { s.Parcels[name] = Parcel{Stage(stage), tracking} }},
	} {
		rows, err := tx.Query(ctx, q.sql)
		if err != nil {
			return State{}, err
		}
		if _, err := pgx.ForEachRow(rows, q.into, func() error { q.keep(); return nil }); err != nil {
			return State{}, err
		}
	}
	return s, nil
}
