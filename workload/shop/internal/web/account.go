package web

import (
	"net/http"
	"strings"

	"zdl/workload/shop/internal/call"
	"zdl/workload/shop/internal/order"
	"zdl/workload/shop/internal/user"
)

func (s *Service) account(w http.ResponseWriter, r *http.Request) error {
	var orders []string
	for o := range strings.SplitSeq(cookie(r, ordersCookie), ",") {
		if order.ValidID(o) {
			orders = append(orders, o)
		}
	}
	return s.render(w, r, http.StatusOK, "account", frame{Title: "Your account", Data: orders}, 0)
}

func (s *Service) register(w http.ResponseWriter, r *http.Request) error {
	return s.admit(w, r, call.JSON(http.MethodPost, "/api/user/accounts",
		user.Registration{Email: r.PostFormValue("email"), Name: r.PostFormValue("name"), Password: r.PostFormValue("password")}))
}

func (s *Service) login(w http.ResponseWriter, r *http.Request) error {
	return s.admit(w, r, call.JSON(http.MethodPost, "/api/user/sessions",
		user.Login{Email: r.PostFormValue("email"), Password: r.PostFormValue("password")}))
}

func (s *Service) admit(w http.ResponseWriter, r *http.Request, q call.Request) error {
	var token user.Token
	if _, err := s.peers.User.Exchange(r.Context(), q, &token); err != nil {
		return orAway(err, "Nobody can log in now. You can order without an account.")
	}
	keep(w, r, tokenCookie, token.Token)
	keep(w, r, nameCookie, token.Name)
	return back(w, r, "/account")
}

// logout forgets the session here in any case; if the service does not answer, the
// token dies by its age.
func (s *Service) logout(w http.ResponseWriter, r *http.Request) error {
	_, _ = s.peers.User.Do(r.Context(), call.Request{Method: http.MethodDelete, Path: "/api/user/sessions",
		Header: http.Header{"Authorization": {"Bearer " + cookie(r, tokenCookie)}}})
	keep(w, r, tokenCookie, "")
	keep(w, r, nameCookie, "")
	return back(w, r, "/account")
}
