package catalogue_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"zdl/workload/shop/internal/catalogue"
	"zdl/workload/shop/internal/documents"
	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/shoptest"
	"zdl/workload/shop/internal/user"
)

func TestProductsAndAccountsInADocumentStore(t *testing.T) {
	server := shoptest.Start(t, shoptest.Program{Name: "ferretdb", Prepare: func(dir, _ string) []string {
		return []string{"mkdir", filepath.Join(dir, "data")}
	}, Args: func(dir, port string) []string {
		return []string{"--listen-addr=127.0.0.1:" + port, "--debug-addr=-", "--telemetry=disable", "--handler=sqlite", "--state-dir=" + dir,
			"--sqlite-url=file:" + filepath.Join(dir, "data") + "/"}
	}})
	client, db, err := documents.Open("mongodb://127.0.0.1:"+server.Port+"/", "test")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(t.Context()) }()
	ctx, store := t.Context(), catalogue.NewMongo(db)
	shoptest.Wait(t, store.Check)

	var all sync.WaitGroup
	for range 4 { // replicas start together
		all.Go(func() { shoptest.Wait(t, store.Setup) })
	}
	all.Wait()
	if list, err := store.Products(ctx); err != nil || !reflect.DeepEqual(list, goods.Seed()) {
		t.Errorf("%d products, %v", len(list), err)
	}
	// A price that was changed survives the next start.
	if _, err := db.Collection("products").UpdateByID(ctx, "mug-quorum", bson.M{"$set": bson.M{"cents": 1}}); err != nil {
		t.Fatal(err)
	}
	if err := store.Setup(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := store.Products(ctx)
	if err != nil || len(list) != len(goods.Seed()) {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.ID == "mug-quorum" && p.Cents != 1 {
			t.Errorf("%+v", p)
		}
	}

	accounts := user.NewMongo(db)
	ada := user.Account{Email: "ada@example.org", Name: "Ada", Hash: []byte("hash"), Created: time.Now().UTC().Truncate(time.Millisecond)}
	if err := accounts.Create(ctx, ada); err != nil {
		t.Fatal(err)
	}
	if err := accounts.Create(ctx, ada); !errors.Is(err, user.ErrTaken) {
		t.Errorf("twice: %v", err)
	}
	if got, err := accounts.Find(ctx, "ada@example.org"); err != nil || !reflect.DeepEqual(got, ada) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, other := range []string{"", "$ne", `{"$gt":""}`, "bob@example.org"} {
		if _, err := accounts.Find(ctx, other); !errors.Is(err, user.ErrUnknown) {
			t.Errorf("%q: %v", other, err)
		}
	}

	server.Off()
	began := time.Now()
	if _, err := store.Products(ctx); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("without a server: %v after %s", err, time.Since(began))
	}
	server.On()
	shoptest.Wait(t, store.Check)
}
