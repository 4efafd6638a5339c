package ledger

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/order"
)

//go:embed schema.sql
var schema string

// Limits on how long the database may take. A primary whose power was cut answers
// nothing at all, not even an error.
const (
	connectTimeout = 2 * time.Second
	queryTimeout   = 3 * time.Second
)

// SeedUnits is how many of each product the shop has when it opens.
const SeedUnits = 1_000_000

// Postgres is the ledger in PostgreSQL. It is a Store and safe for concurrent use.
type Postgres struct{ pool *pgxpool.Pool }

// NewPostgres does not connect yet. dsn is in libpq's form, best with
// target_session_attrs=read-write; a wrong one is refused without repeating it,
// since it holds a password.
func NewPostgres(dsn string, connections int32) (*Postgres, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL is not of the form postgres://USER:PASSWORD@HOST:5432/DATABASE?target_session_attrs=read-write")
	}
	config.MaxConns, config.MinConns = connections, 0
	config.MaxConnLifetime = 10 * time.Minute
	config.MaxConnIdleTime = time.Minute
	config.HealthCheckPeriod = time.Minute
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.AfterConnect = durable
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, err
	}
	return &Postgres{pool}, nil
}

// durable makes sure that a commit means something: where the database would
// acknowledge before the disk has it, this connection does not.
func durable(ctx context.Context, c *pgx.Conn) error {
	var mode string
	if err := c.QueryRow(ctx, "show synchronous_commit").Scan(&mode); err != nil {
		return err
	}
	if mode == "off" || mode == "local" {
		_, err := c.Exec(ctx, "set synchronous_commit = on")
		return err
	}
	return nil
}

// Close ends all connections.
func (p *Postgres) Close() { p.pool.Close() }

// Check tells whether a database answers that can be written to.
func (p *Postgres) Check(ctx context.Context) error {
	return p.try(ctx, func(ctx context.Context) error {
		var standby bool
		err := p.pool.QueryRow(ctx, "select pg_is_in_recovery()").Scan(&standby)
		if err == nil && standby {
			p.pool.Reset()
			return errors.New("the database is a standby")
		}
		return err
	})
}

// Setup makes the tables, and stocks the shop once.
func (p *Postgres) Setup(ctx context.Context) error {
	err := p.try(ctx, func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			// Replicas start together, and "if not exists" is no protection from that.
			if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", lockSchema); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, schema)
			return err
		})
	})
	if err != nil {
		return err
	}
	opening := Event{Kind: Stocked, Key: "stocked/opening"}
	for _, product := range goods.Seed() {
		opening.Body.Lines = append(opening.Body.Lines, order.Line{Product: product.ID, Quantity: SeedUnits})
	}
	_, _, err = p.Append(ctx, opening)
	return err
}

// Numbers of advisory locks.
const (
	lockSchema  = 7_201
	lockProcess = 7_202
)

// try runs one use of the database with a limit of time. After an answer that
// never came, or one of a server that is no primary any more, all connections
// are given up: the others lead to the same place.
func (p *Postgres) try(ctx context.Context, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err := do(limited)
	if err == nil || errors.Is(err, ErrUnknown) {
		return err
	}
	var said *pgconn.PgError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case errors.As(err, &said) && said.Code == "25006", limited.Err() != nil: // read_only_sql_transaction
		p.pool.Reset()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

const appendSQL = `
with new as (
    insert into ledger (kind, key, order_id, customer, body) values ($1, $2, $3, $4, $5)
    on conflict (key) do nothing returning seq, at, kind
), p as (insert into pending select seq from new
), o as (insert into outbox select seq from new where kind = 'accepted')
select seq, at from new`

const columns = `select seq, at, kind, key, order_id, customer, body from ledger `

// Append implements Store. It is one statement and so one transaction: when it
// returns, the event is on the disk, and on those of the synchronous standbys.
func (p *Postgres) Append(ctx context.Context, e Event) (Event, bool, error) {
	body, err := json.Marshal(e.Body)
	if err != nil {
		return Event{}, false, err
	}
	added := true
	err = p.try(ctx, func(ctx context.Context) error {
		err := p.pool.QueryRow(ctx, appendSQL, e.Kind, e.Key, e.Order, e.Customer, body).Scan(&e.Seq, &e.At)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		added = false
		rows, err := p.pool.Query(ctx, columns+"where key = $1", e.Key)
		if err != nil {
			return err
		}
		e, err = pgx.CollectExactlyOneRow(rows, scan)
		return err
	})
	return e, added && err == nil, err
}

func scan(row pgx.CollectableRow) (e Event, err error) {
	var body []byte
	if err := row.Scan(&e.Seq, &e.At, &e.Kind, &e.Key, &e.Order, &e.Customer, &body); err != nil {
		return Event{}, err
	}
	return e, json.Unmarshal(body, &e.Body)
}

// Order implements Store.
func (p *Postgres) Order(ctx context.Context, id string) (events []Event, err error) {
	err = p.try(ctx, func(ctx context.Context) error {
		rows, err := p.pool.Query(ctx, columns+"where order_id = $1 and order_id <> '' order by seq", id)
		if err != nil {
			return err
		}
		if events, err = pgx.CollectRows(rows, scan); err == nil && len(events) == 0 {
			return ErrUnknown
		}
		return err
	})
	return events, err
}

// List implements Store.
func (p *Postgres) List(ctx context.Context, after int64, limit int) (events []Event, err error) {
	err = p.try(ctx, func(ctx context.Context) error {
		rows, err := p.pool.Query(ctx, columns+"where seq > $1 order by seq limit $2", after, limit)
		if err != nil {
			return err
		}
		events, err = pgx.CollectRows(rows, scan)
		return err
	})
	return events, err
}

// Stock implements Store.
func (p *Postgres) Stock(ctx context.Context, products []string) (map[string]int64, error) {
	stock := make(map[string]int64, len(products))
	err := p.try(ctx, func(ctx context.Context) error {
		rows, err := p.pool.Query(ctx, "select product, units from stock where product = any($1)", products)
		if err != nil {
			return err
		}
		var product string
		var units int64
		_, err = pgx.ForEachRow(rows, []any{&product, &units}, func() error {
			stock[product] = units
			return nil
		})
		return err
	})
	return stock, err
}
