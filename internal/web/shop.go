package web

import (
	"context"
	"net/http"

	"zdl/internal/cluster"
)

// Shop is the shop that can be installed in a lab.
type Shop interface {
	Status(ctx context.Context) cluster.Shop
	// Up returns when the first order would be accepted; routing "" leaves that as it
	// is.
	Up(ctx context.Context, routing string) (cluster.Shop, error)
	Down(ctx context.Context) error
}

// ShopRequest asks for a shop, or for none.
type ShopRequest struct {
	On      *bool  `json:"on"`
	Routing string `json:"routing,omitempty"` // perService or allToWeb; left out: as it is
}

func (s *server) getShop(w http.ResponseWriter, r *http.Request) {
	if s.Shop == nil {
		fail(w, http.StatusNotImplemented, "There is no shop here.", "This server was started without one.")
		return
	}
	reply(w, s.Shop.Status(r.Context()))
}

// postShop answers when the shop is ready, or gone.
func (s *server) postShop(w http.ResponseWriter, r *http.Request) {
	if s.Shop == nil {
		fail(w, http.StatusNotImplemented, "There is no shop here.", "This server was started without one.")
		return
	}
	var in ShopRequest
	if !read(w, r, &in) {
		return
	}
	var err error
	var status cluster.Shop
	switch {
	case in.On == nil:
		fail(w, http.StatusBadRequest, "It is not said whether there shall be a shop.", `{"on": true} installs one, {"on": false} removes it.`)
		return
	case in.Routing != "" && in.Routing != cluster.RoutingPerService && in.Routing != cluster.RoutingAllToWeb:
		fail(w, http.StatusBadRequest, "There is no such routing.", "It is "+cluster.RoutingPerService+" or "+cluster.RoutingAllToWeb+".")
		return
	case *in.On:
		status, err = s.Shop.Up(r.Context(), in.Routing)
	default:
		err = s.Shop.Down(r.Context())
		status = s.Shop.Status(r.Context())
	}
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, "The shop is not as it was asked for: "+err.Error()+".", "zdl shop status shows how it is; zdl shop down removes it.")
		return
	}
	reply(w, status)
}
