package ratings_test

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"zdl/workload/shop/internal/ratings"
	"zdl/workload/shop/internal/relational"
	"zdl/workload/shop/internal/shipping"
	"zdl/workload/shop/internal/shoptest"
)

func TestRatingsAndTariffsInMariaDB(t *testing.T) {
	server := shoptest.Start(t, shoptest.Program{Name: "mariadbd", Prepare: func(dir, _ string) []string {
		return []string{"mariadb-install-db", "--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--auth-root-authentication-method=normal", "--skip-test-db"}
	}, Args: func(dir, port string) []string {
		return []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--socket=" + filepath.Join(dir, "s"), "--port=" + port,
			"--bind-address=127.0.0.1", "--pid-file=" + filepath.Join(dir, "pid"), "--innodb-buffer-pool-size=32M"}
	}})
	ctx := t.Context()
	for _, name := range []string{"ratings", "shipping"} {
		db, err := relational.Open("root@tcp(127.0.0.1:" + server.Port + ")/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.DB.Close() }()
		if name == "ratings" {
			rate(t, ctx, server, db)
		} else {
			quote(t, ctx, db)
		}
	}
}

func rate(t *testing.T, ctx context.Context, server *shoptest.Server, db *relational.Database) {
	store := ratings.NewMariaDB(db)
	shoptest.Wait(t, store.Setup) // makes the database too
	if err := store.Setup(ctx); err != nil {
		t.Errorf("again: %v", err)
	}
	memory, err := shoptest.NewRatings().Sums(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := store.Sums(ctx)
	if err != nil || !reflect.DeepEqual(sums, memory) {
		t.Errorf("%v, %v; want %v", sums, err, memory)
	}
	before := sums["mug-quorum"]
	for _, stars := range []int{1, 1, 5} { // changed one's mind
		if err := store.Rate(ctx, "mug-quorum", "me'; drop table ratings; --", stars); err != nil {
			t.Fatal(err)
		}
	}
	if sums, err = store.Sums(ctx); err != nil || sums["mug-quorum"] != (ratings.Sum{Count: before.Count + 1, Stars: before.Stars + 5}) {
		t.Errorf("%v, %v", sums["mug-quorum"], err)
	}
	server.Off()
	began := time.Now()
	if _, err := store.Sums(ctx); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("without a server: %v after %s", err, time.Since(began))
	}
	server.On()
	shoptest.Wait(t, db.Check)
	if again, err := store.Sums(ctx); err != nil || !reflect.DeepEqual(sums, again) {
		t.Errorf("after a crash: %v", err)
	}
}

func quote(t *testing.T, ctx context.Context, db *relational.Database) {
	store := shipping.NewMariaDB(db)
	for range 2 {
		shoptest.Wait(t, store.Setup)
	}
	memory := &shoptest.Tariffs{}
	for _, country := range []string{"DE", "GB", "US", "XX", "'--"} {
		want, _ := memory.Tariffs(ctx, country)
		if got, err := store.Tariffs(ctx, country); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", country, got, err, want)
		}
	}
	if list, err := store.Countries(ctx); err != nil || len(list) != len(shipping.Seeded) || list[0].Name != "Austria" {
		t.Errorf("%v, %v", list, err)
	}
}
