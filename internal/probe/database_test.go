package probe

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// server speaks PostgreSQL's protocol as far as the prober needs it. answer is
// called for each statement.
type server struct {
	net.Listener
	mu     sync.Mutex
	rows   []string // numbers that were written
	logins int
	answer func(s *server, sql string, values []string, out *pgproto3.Backend)
}

func serveDatabase(t *testing.T, answer func(s *server, sql string, values []string, out *pgproto3.Backend)) (*server, *Database) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, answer: answer}
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { defer c.Close(); s.talk(c) })
		}
	})
	d := &Database{Address: l.Addr().String(), User: "app", Password: "secret", Name: "app", Run: "run", Ledger: &Ledger{},
		Dial: (&net.Dialer{}).DialContext, Who: func(address string) string { return "postgres at " + address }}
	return s, d
}

func (s *server) talk(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	var sql string
	var values []string
	for {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Parse:
			sql = m.Query
		case *pgproto3.Bind:
			values = nil
			for _, p := range m.Parameters {
				values = append(values, string(p))
			}
		case *pgproto3.Sync:
			s.answer(s, sql, values, b)
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if b.Flush() != nil {
				return
			}
		case *pgproto3.Terminate:
			return
		}
	}
}

// rowOf answers a statement with one row.
func rowOf(b *pgproto3.Backend, tag string, values ...string) {
	row := &pgproto3.DataRow{}
	b.Send(&pgproto3.ParseComplete{})
	b.Send(&pgproto3.BindComplete{})
	b.Send(&pgproto3.RowDescription{})
	for _, v := range values {
		row.Values = append(row.Values, []byte(v))
	}
	b.Send(row)
	b.Send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

// store writes what it is told and gives it back.
func store(s *server, sql string, values []string, b *pgproto3.Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(sql, "insert"):
		s.rows = append(s.rows, values[1])
		rowOf(b, "INSERT 0 1", "198.19.4.7", "0000000A")
	case strings.HasPrefix(sql, "select host"):
		rowOf(b, "SELECT 1", "198.19.4.7", s.rows[len(s.rows)-1])
	case strings.HasPrefix(sql, "select n"):
		b.Send(&pgproto3.ParseComplete{})
		b.Send(&pgproto3.BindComplete{})
		b.Send(&pgproto3.RowDescription{})
		for _, n := range s.rows {
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(n)}})
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT")})
	}
}

func ask(t *testing.T, s Subject, timeout time.Duration) Result {
	t.Helper()
	return s.Ask(t.Context(), time.Now().Add(timeout))
}

func TestAWriteIsRememberedWhenItIsAcknowledged(t *testing.T) {
	s, d := serveDatabase(t, store)
	d.Write, d.Reuse = true, true
	lane := d.Subject()
	for range 3 {
		if r := ask(t, lane, 2*time.Second); r.Class != OK || r.By != "postgres at 198.19.4.7" || r.FirstByte.IsZero() {
			t.Fatalf("%+v", r)
		}
	}
	lane.Close()
	if s.logins != 1 {
		t.Errorf("a reused connection logged in %d times", s.logins)
	}
	w, err := d.Check(t.Context())
	if err != nil || w.Acknowledged != 3 || w.Lost != 0 || !w.Checked || len(w.Timelines) != 1 || w.Timelines[0] != 10 {
		t.Errorf("%+v, %v", w, err)
	}
	s.mu.Lock()
	s.rows = s.rows[:1] // a failover that forgets
	s.mu.Unlock()
	if w, err = d.Check(t.Context()); err != nil || w.Lost != 2 || w.LostRanges[0] != "2 to 3" {
		t.Errorf("%+v, %v", w, err)
	}
	reader := *d
	reader.Write, reader.Reuse = false, false
	if r := ask(t, reader.Subject(), 2*time.Second); r.Class != Stale {
		t.Errorf("a read that lacks what was acknowledged: %+v", r)
	}
}

func TestWhatADatabaseSaysIsNoAcknowledgement(t *testing.T) {
	_, d := serveDatabase(t, func(_ *server, _ string, _ []string, b *pgproto3.Backend) {
		b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "25006", Message: "cannot execute INSERT in a read-only transaction"})
	})
	d.Write = true
	lane := d.Subject()
	defer lane.Close()
	if r := ask(t, lane, 2*time.Second); r.Class != ServerError || !strings.Contains(r.Err.Error(), "25006") {
		t.Fatalf("%+v", r)
	}
	if w := d.Ledger.Promise().Count(); w.Acknowledged != 0 || w.Unconfirmed != 1 {
		t.Errorf("%+v", w)
	}
}

func TestASilentDatabaseTimesOut(t *testing.T) {
	hold := make(chan struct{})
	_, d := serveDatabase(t, func(*server, string, []string, *pgproto3.Backend) { <-hold })
	defer close(hold)
	d.Write = true
	lane := d.Subject()
	defer lane.Close()
	began := time.Now()
	if r := ask(t, lane, 200*time.Millisecond); r.Class != Timeout || r.Connected.IsZero() {
		t.Errorf("%+v", r)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v to give up after 200 ms", took)
	}
}

func TestALogInThatBreaksOffIsAReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // as a load balancer does that has nobody to send to
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	d := &Database{Address: l.Addr().String(), User: "app", Password: "x", Name: "app", Write: true, Ledger: &Ledger{}, Dial: (&net.Dialer{}).DialContext}
	lane := d.Subject()
	defer lane.Close()
	if r := ask(t, lane, 2*time.Second); r.Class != Reset {
		t.Errorf("%+v", r)
	}
	d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var none net.Dialer
		return none.DialContext(ctx, network, "127.0.0.1:1")
	}
	if r := ask(t, d.Subject(), 2*time.Second); r.Class != Refused {
		t.Errorf("%+v", r)
	}
	if w := d.Ledger.Promise().Count(); w.Sent != 0 {
		t.Errorf("nothing was sent, but %+v", w)
	}
}
