package cart_test

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zdl/workload/shop/internal/cart"
	"zdl/workload/shop/internal/keyvalue"
	"zdl/workload/shop/internal/shoptest"
	"zdl/workload/shop/internal/user"
)

func TestCartsAndSessionsInRedis(t *testing.T) {
	server := shoptest.Start(t, shoptest.Program{Name: "redis-server", Args: func(dir, port string) []string {
		return []string{"--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "yes"}
	}})
	client, err := keyvalue.Open("127.0.0.1:" + server.Port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	shoptest.Wait(t, keyvalue.Check(client))
	ctx, carts := t.Context(), cart.NewRedis(client)

	if err := carts.Set(ctx, "A", "mug-quorum", 3, 50); err != nil {
		t.Fatal(err)
	}
	for _, quantity := range []int{5, 2} {
		if err := carts.Set(ctx, "A", "lamp-ember", quantity, 50); err != nil {
			t.Fatal(err)
		}
	}
	if lines, err := carts.Lines(ctx, "A"); err != nil || !reflect.DeepEqual(lines, map[string]int{"mug-quorum": 3, "lamp-ember": 2}) {
		t.Errorf("%v, %v", lines, err)
	}
	if err := carts.Set(ctx, "A", "mug-quorum", 0, 50); err != nil {
		t.Fatal(err)
	}
	if lines, err := carts.Lines(ctx, "A"); err != nil || !reflect.DeepEqual(lines, map[string]int{"lamp-ember": 2}) {
		t.Errorf("%v, %v", lines, err)
	}
	if life := client.TTL(ctx, "cart:A").Val(); life < 6*24*time.Hour {
		t.Errorf("the cart lives for %s", life)
	}
	if err := carts.Ordered(ctx, "A"); err != nil || client.TTL(ctx, "cart:A").Val() > time.Hour {
		t.Errorf("an ordered cart lives for %s, %v", client.TTL(ctx, "cart:A").Val(), err)
	}

	// Many tabs fill one cart at once: never beyond its limit.
	var all sync.WaitGroup
	var full atomic.Int64
	for i := range 40 {
		all.Go(func() {
			if err := carts.Set(ctx, "B", fmt.Sprintf("thing-%c", 'a'+i), 1, 10); errors.Is(err, cart.ErrFull) {
				full.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if lines, err := carts.Lines(ctx, "B"); err != nil || len(lines) != 10 || full.Load() != 30 {
		t.Errorf("%d lines, %d refused, %v", len(lines), full.Load(), err)
	}
	if err := carts.Clear(ctx, "B"); err != nil {
		t.Fatal(err)
	}
	if lines, err := carts.Lines(ctx, "B"); err != nil || len(lines) != 0 {
		t.Errorf("%v, %v", lines, err)
	}

	sessions, ada := user.NewRedis(client), user.Session{Email: "ada@example.org", Name: "Ada"}
	if err := sessions.Put(ctx, "h", ada, time.Hour); err != nil {
		t.Fatal(err)
	}
	if who, err := sessions.Get(ctx, "h"); err != nil || who != ada {
		t.Errorf("%+v, %v", who, err)
	}
	if err := sessions.Delete(ctx, "h"); err != nil {
		t.Fatal(err)
	}
	if _, err := sessions.Get(ctx, "h"); !errors.Is(err, user.ErrUnknown) {
		t.Errorf("got %v", err)
	}

	server.Off()
	began := time.Now()
	if _, err := carts.Lines(ctx, "A"); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("without a server: %v after %s", err, time.Since(began))
	}
	server.On()
	shoptest.Wait(t, keyvalue.Check(client)) // the same client finds it again
}
