package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"zdl/internal/cluster"
)

// fakeShop remembers what was asked of it.
type fakeShop struct {
	asked []string
	fails error
}

func (f *fakeShop) Status(context.Context) cluster.Shop {
	return cluster.Shop{Available: true, Installed: len(f.asked) > 0, Parts: []cluster.ShopPart{}}
}

func (f *fakeShop) Up(ctx context.Context, routing string) (cluster.Shop, error) {
	f.asked = append(f.asked, "up "+routing)
	return f.Status(ctx), f.fails
}

func (f *fakeShop) Down(context.Context) error {
	f.asked = append(f.asked, "down")
	return f.fails
}

func TestAShopIsInstalledAndRemovedByItsOwnerOnly(t *testing.T) {
	l := newLab(t, 0)
	shop := &fakeShop{}
	l.deps.Shop = shop
	l.reopen(Access{})
	owner := l.socket(t)
	var s cluster.Shop
	if code, e := ask(t, owner, http.MethodPost, "http://lab/api/v1/shop", `{"on":true,"routing":"allToWeb"}`, nil, &s); code != 200 || !s.Installed {
		t.Errorf("%d %+v %+v", code, e, s)
	}
	if code, _ := ask(t, owner, http.MethodPost, "http://lab/api/v1/shop", `{"on":false}`, nil, nil); code != 200 {
		t.Error(code)
	}
	for body, want := range map[string]string{`{}`: "not said whether", `{"on":true,"routing":"up"}`: "no such routing", `{"onn":true}`: ""} {
		if code, e := ask(t, owner, http.MethodPost, "http://lab/api/v1/shop", body, nil, nil); code != 400 || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %d %+v", body, code, e)
		}
	}
	shop.fails = errors.New("redis is not ready")
	if code, e := ask(t, owner, http.MethodPost, "http://lab/api/v1/shop", `{"on":true}`, nil, nil); code != 422 || !strings.Contains(e.Message, "redis is not ready") {
		t.Errorf("%d %+v", code, e)
	}
	if got := strings.Join(shop.asked, ", "); got != "up allToWeb, down, up " {
		t.Errorf("asked: %q", got)
	}
	l.reopen(public())
	srv := l.serve(t)
	if code, _ := ask(t, l.visitor(t, srv, "127.0.0.9"), http.MethodPost, srv.URL+"/api/v1/shop", `{"on":false}`, nil, nil); code == 200 || len(shop.asked) != 3 {
		t.Errorf("a visitor removed the shop: %d, %v", code, shop.asked)
	}
}

func TestWithoutAShopTheAPISaysSo(t *testing.T) {
	l := newLab(t, 0)
	srv := l.serve(t)
	if code, e := ask(t, srv.Client(), http.MethodGet, srv.URL+"/api/v1/shop", "", nil, nil); code != http.StatusNotImplemented || e.Hint == "" {
		t.Errorf("%d %+v", code, e)
	}
}
