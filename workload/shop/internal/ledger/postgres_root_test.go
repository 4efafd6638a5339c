package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zdl/workload/shop/internal/order"
)

// database starts a PostgreSQL of its own and returns its address.
func database(t *testing.T) (dsn string, process *os.Process) {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") != "1" {
		t.Skip("starts a PostgreSQL: run with ZDL_TEST_ROOT=1")
	}
	server, err := exec.LookPath("postgres")
	if err != nil {
		t.Skip("no program postgres is installed")
	}
	if server, err = filepath.EvalSymlinks(server); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	attributes := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(filepath.Dir(server), "initdb"), "--auth=trust", "--no-sync", "--username=shop", "--encoding=UTF8", "--locale=C", data)
	initdb.SysProcAttr, initdb.Dir = attributes, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	run := exec.Command(server, "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir)
	run.SysProcAttr, run.Dir = attributes, dir
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGINT)
		_ = run.Wait()
	})
	return fmt.Sprintf("postgres://shop@127.0.0.1:%d/postgres?sslmode=disable&target_session_attrs=read-write", port), run.Process
}

func open(t *testing.T, dsn string) *Postgres {
	t.Helper()
	p, err := NewPostgres(dsn, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = p.Setup(t.Context()); err == nil {
			return p
		}
		if !errors.Is(err, ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func drain(t *testing.T, p *Postgres) {
	t.Helper()
	for {
		n, err := p.Process(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func TestTheLedgerInPostgreSQL(t *testing.T) {
	dsn, process := database(t)
	p := open(t, dsn)
	ctx := t.Context()

	t.Run("twelve attempts at one order append it once", func(t *testing.T) {
		var seqs sync.Map
		var added sync.Map
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				e, fresh, err := p.Append(ctx, accepted(0, "AAAAAAAAAAAAAAAA", noon, 2))
				if err != nil {
					t.Error(err)
				}
				seqs.Store(e.Seq, true)
				if fresh {
					added.Store(i, true)
				}
			})
		}
		all.Wait()
		if count(&seqs) != 1 || count(&added) != 1 {
			t.Errorf("%d different entries, %d claim to be the first", count(&seqs), count(&added))
		}
		events, err := p.Order(ctx, "AAAAAAAAAAAAAAAA")
		if err != nil || len(events) != 1 || events[0].Body.Bill.Total != 500 {
			t.Errorf("%+v, %v", events, err)
		}
		if _, err := p.Order(ctx, "ZZZZZZZZZZZZZZZZ"); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("processed data follow and can be made again", func(t *testing.T) {
		for i := range 30 {
			if _, _, err := p.Append(ctx, accepted(0, fmt.Sprintf("ORDER%011d", i), noon, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if diff, _, pending, err := p.Compare(ctx, 10); err != nil || len(diff) != 0 || pending == 0 {
			t.Errorf("before processing: %v, %d pending, %v", diff, pending, err)
		}
		drain(t, p)
		stock, err := p.Stock(ctx, []string{"mug-quorum", "none-such"})
		if err != nil || !reflect.DeepEqual(stock, map[string]int64{"mug-quorum": SeedUnits - 32}) {
			t.Errorf("stock %v, %v", stock, err)
		}
		if _, err := p.pool.Exec(ctx, "update stock set units = 7 where product = 'mug-quorum'; delete from parcels"); err != nil {
			t.Fatal(err)
		}
		diff, _, _, err := p.Compare(ctx, 100)
		if err != nil || len(diff) != 32 || !strings.Contains(strings.Join(diff, "\n"), "stock of mug-quorum: the ledger says 999968, stored is 7") {
			t.Errorf("%d differences, %v: %q", len(diff), err, diff)
		}
		if n, err := p.Rebuild(ctx); err != nil || n != 32 {
			t.Errorf("rebuilt from %d events, %v", n, err)
		}
		if diff, _, _, err := p.Compare(ctx, 10); err != nil || len(diff) != 0 {
			t.Errorf("after the rebuild: %v, %v", diff, err)
		}
	})

	t.Run("rebuilding while orders come in loses none", func(t *testing.T) {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := p.Append(ctx, accepted(0, fmt.Sprintf("BUSY%012d", i), noon, 1)); err != nil {
					t.Error(err)
				}
				if i%3 == 0 {
					if _, err := p.Process(ctx); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		for range 10 {
			if _, err := p.Rebuild(ctx); err != nil {
				t.Error(err)
			}
			if diff, _, _, err := p.Compare(ctx, 5); err != nil || len(diff) > 0 {
				t.Errorf("%v, %v", diff, err)
			}
		}
		close(stop)
		<-done
		drain(t, p)
		if diff, _, pending, err := p.Compare(ctx, 5); err != nil || len(diff) > 0 || pending != 0 {
			t.Errorf("at the end: %v, %d pending, %v", diff, pending, err)
		}
	})

	t.Run("nobody changes an entry", func(t *testing.T) {
		for _, sql := range []string{"update ledger set customer = 'x'", "delete from ledger", "truncate ledger"} {
			if _, err := p.pool.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "append only") {
				t.Errorf("%s: %v", sql, err)
			}
		}
	})

	t.Run("orders are relayed until that succeeds", func(t *testing.T) {
		broken := errors.New("no broker")
		if n, err := p.Relay(ctx, func(context.Context, Event) error { return broken }); n != 0 || !errors.Is(err, broken) {
			t.Errorf("relayed %d, %v", n, err)
		}
		var mu sync.Mutex
		seen := map[string]int{}
		for {
			n, err := p.Relay(ctx, func(_ context.Context, e Event) error {
				mu.Lock()
				defer mu.Unlock()
				seen[e.Order]++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		if seen["AAAAAAAAAAAAAAAA"] != 1 || seen["ORDER00000000007"] != 1 {
			t.Errorf("relayed %v", seen)
		}
	})

	t.Run("hostile text is text", func(t *testing.T) {
		e := accepted(0, "HOSTILE", noon, 1)
		e.Customer = "'; drop table ledger; --"
		e.Body.Checkout = &order.Checkout{Address: order.Address{Name: `"}'); --`}}
		if _, _, err := p.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Order(ctx, "HOSTILE"); err != nil || got[0].Customer != e.Customer || got[0].Body.Checkout.Address.Name != `"}'); --` {
			t.Errorf("%+v, %v", got, err)
		}
	})

	t.Run("without a database nothing is promised", func(t *testing.T) {
		last, _, err := p.Append(ctx, accepted(0, "LASTLASTLASTLAST", noon, 1))
		if err != nil {
			t.Fatal(err)
		}
		_ = process.Signal(syscall.SIGQUIT) // immediate shutdown: as after a crash
		var failed error
		for deadline := time.Now().Add(10 * time.Second); failed == nil && time.Now().Before(deadline); {
			failed = p.Check(ctx)
		}
		if !errors.Is(failed, ErrUnavailable) {
			t.Errorf("got %v", failed)
		}
		if _, _, err := p.Append(ctx, accepted(0, "NEVER", noon, 1)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("appended to %d without a database: %v", last.Seq, err)
		}
	})
}

func count(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}
