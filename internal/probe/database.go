package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Database writes rows to a PostgreSQL, or reads the latest, each as one
// statement and a transaction of its own, and repeats nothing.
type Database struct {
	Address              string // host:port
	User, Password, Name string
	Reuse                bool // keep connections between requests; each costs a log-in otherwise
	Write                bool
	// Run tells the rows of this measurement from those of others.
	Run string
	// Ledger is shared by the lanes of a measurement.
	Ledger *Ledger
	// Who names the server that has an address; nil: the address itself.
	Who  func(address string) string
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// The table, and what is asked. Each answer says who gave it and on which
// timeline: a promotion begins a new one.
const (
	databaseTable  = `create table if not exists zdl_probe (run text not null, n bigint not null, at timestamptz not null default clock_timestamp(), primary key (run, n))`
	databaseInsert = `insert into zdl_probe (run, n) values ($1, $2) returning host(inet_server_addr()), left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)`
	databaseLatest = `select host(inet_server_addr()), coalesce(max(n), 0) from zdl_probe where run = $1`
	databaseStored = `select n from zdl_probe where run = $1`
	databaseForget = `delete from zdl_probe where run = $1`
)

// Prepare makes the table.
func (d *Database) Prepare(ctx context.Context) error {
	return d.once(ctx, func(c *pgconn.PgConn) error {
		return c.Exec(ctx, databaseTable).Close()
	})
}

// Check reads what the database holds and compares it with what it had
// acknowledged before.
func (d *Database) Check(ctx context.Context) (Writes, error) {
	promise := d.Ledger.Promise()
	var stored []uint64
	err := d.once(ctx, func(c *pgconn.PgConn) error {
		rows := c.ExecParams(ctx, databaseStored, [][]byte{[]byte(d.Run)}, nil, nil, nil)
		for rows.NextRow() {
			n, err := strconv.ParseUint(string(rows.Values()[0]), 10, 64)
			if err != nil {
				return err
			}
			stored = append(stored, n)
		}
		_, err := rows.Close()
		return err
	})
	if err != nil {
		return promise.Count(), err
	}
	return promise.Compare(stored), nil
}

// Forget removes the rows of this measurement.
func (d *Database) Forget(ctx context.Context) error {
	return d.once(ctx, func(c *pgconn.PgConn) error {
		_, err := c.ExecParams(ctx, databaseForget, [][]byte{[]byte(d.Run)}, nil, nil, nil).Close()
		return err
	})
}

// once does something on a connection of its own.
func (d *Database) once(ctx context.Context, do func(*pgconn.PgConn) error) error {
	var r Result
	c, err := d.connect(ctx, &r)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	return do(c)
}

// connect logs in. r is told when the connection stood.
func (d *Database) connect(ctx context.Context, r *Result) (*pgconn.PgConn, error) {
	host, port, err := net.SplitHostPort(d.Address)
	if err != nil {
		return nil, err
	}
	// Everything is said here, so that nothing comes from PG… in the environment.
	config, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s sslmode=disable target_session_attrs=any", host, port, d.User, d.Password, d.Name))
	if err != nil {
		return nil, err
	}
	config.ConnectTimeout, config.Fallbacks = 0, nil
	config.RuntimeParams = map[string]string{"application_name": "zdl-probe"}
	dialled := false
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dialled { // to cancel a statement that hangs: a prober leaves it hanging
			return nil, net.ErrClosed
		}
		dialled = true
		c, err := d.Dial(ctx, network, addr)
		if err == nil {
			r.Connected = time.Now()
		}
		return c, err
	}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return pgconn.ConnectConfig(ctx, config)
}

// Subject makes it one that can be asked.
func (d *Database) Subject() Subject { return &databaseLane{Database: d} }

// databaseLane keeps the connections of one lane.
type databaseLane struct {
	*Database
	mu      sync.Mutex
	idle    []*pgconn.PgConn
	closing sync.WaitGroup
}

// Ask implements Subject.
func (l *databaseLane) Ask(ctx context.Context, deadline time.Time) (r Result) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	c, err := l.take(ctx, &r)
	if err != nil {
		class := DialClass
		if !r.Connected.IsZero() { // the log-in failed
			class = BrokenClass
		}
		r.Class, r.Err = databaseClass(err, class), err
		return r
	}
	if l.Write {
		err = l.write(ctx, c, &r)
	} else {
		err = l.read(ctx, c, &r)
	}
	if err != nil {
		r.Class, r.Err = databaseClass(err, BrokenClass), err
	}
	if l.Reuse && !c.IsClosed() && r.Class != Wrong {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.idle = append(l.idle, c)
		return r
	}
	l.end(c)
	return r
}

func (l *databaseLane) write(ctx context.Context, c *pgconn.PgConn, r *Result) error {
	n := l.Ledger.Next()
	answer := c.ExecParams(ctx, databaseInsert, [][]byte{[]byte(l.Run), []byte(strconv.FormatUint(n, 10))}, nil, nil, nil).Read()
	if answer.Err != nil {
		return answer.Err
	}
	r.FirstByte = time.Now()
	if len(answer.Rows) != 1 || answer.CommandTag.RowsAffected() != 1 {
		r.Class, r.Err = Wrong, fmt.Errorf("%d rows were written instead of one", answer.CommandTag.RowsAffected())
		return nil
	}
	timeline, err := strconv.ParseUint(string(answer.Rows[0][1]), 16, 32)
	if err != nil {
		r.Class, r.Err = Wrong, fmt.Errorf("timeline %q", answer.Rows[0][1])
		return nil
	}
	l.Ledger.Acknowledge(n, uint32(timeline))
	r.Class, r.By = OK, l.name(answer.Rows[0][0])
	return nil
}

func (l *databaseLane) read(ctx context.Context, c *pgconn.PgConn, r *Result) error {
	floor := l.Ledger.Floor()
	answer := c.ExecParams(ctx, databaseLatest, [][]byte{[]byte(l.Run)}, nil, nil, nil).Read()
	if answer.Err != nil {
		return answer.Err
	}
	r.FirstByte = time.Now()
	if len(answer.Rows) != 1 {
		r.Class, r.Err = Wrong, fmt.Errorf("%d rows were read instead of one", len(answer.Rows))
		return nil
	}
	r.By = l.name(answer.Rows[0][0])
	got, err := strconv.ParseUint(string(answer.Rows[0][1]), 10, 64)
	switch {
	case err != nil:
		r.Class, r.Err = Wrong, err
	case got < floor:
		r.Class, r.Err = Stale, fmt.Errorf("the latest write is %d, though %d was acknowledged before", got, floor)
	default:
		r.Class = OK
	}
	return nil
}

func (l *databaseLane) name(address []byte) string {
	if l.Who == nil {
		return string(address)
	}
	return l.Who(string(address))
}

// take gives the connection that was used last, or a new one.
func (l *databaseLane) take(ctx context.Context, r *Result) (*pgconn.PgConn, error) {
	l.mu.Lock()
	for n := len(l.idle); n > 0; n = len(l.idle) {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		if alive(c.Conn(), true) {
			l.mu.Unlock()
			return c, nil
		}
		l.end(c)
	}
	l.mu.Unlock()
	return l.connect(ctx, r)
}

// end says goodbye beside what is measured.
func (l *databaseLane) end(c *pgconn.PgConn) {
	l.closing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	})
}

// Close implements Subject.
func (l *databaseLane) Close() {
	l.mu.Lock()
	idle := slices.Clone(l.idle)
	l.idle = nil
	l.mu.Unlock()
	for _, c := range idle {
		l.end(c)
	}
	l.closing.Wait()
}

// databaseClass tells an error that PostgreSQL reports, which is an answer, from
// a connection that did not come about or broke.
func databaseClass(err error, other func(error) Class) Class {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return ServerError
	}
	return other(err)
}
