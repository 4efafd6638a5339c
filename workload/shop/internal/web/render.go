package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"zdl/workload/shop/internal/goods"
	"zdl/workload/shop/internal/ratings"
	"zdl/workload/shop/internal/serve"
)

//go:embed pages assets
var files embed.FS

var functions = template.FuncMap{
	"stars": func(s ratings.Summary) string {
		full := int(s.Average + 0.5)
		return strings.Repeat("★", full) + strings.Repeat("☆", 5-full)
	},
	"count": func(n int) []int {
		list := make([]int, n)
		for i := range list {
			list[i] = i + 1
		}
		return list
	},
}

// pages are the templates: each in the frame that all share.
var pages = func() map[string]*template.Template {
	all := map[string]*template.Template{}
	for _, name := range []string{"goods", "product", "cart", "checkout", "order", "account", "error"} {
		all[name] = template.Must(template.New(name).Funcs(functions).ParseFS(files, "pages/frame.html", "pages/"+name+".html"))
	}
	return all
}()

// frame is what every page shows.
type frame struct {
	Title      string
	Categories []goods.Category
	Here       string // category
	Name       string // of who is logged in
	Units      int    // in the cart
	Old        string // how old the page's figures are, if they are
	Pod        string
	Data       any
}

// page adds a route whose errors are pages too. Forms from other sites are refused.
func (s *Service) page(pattern string, h serve.Handler) {
	var crossOrigin http.CrossOriginProtection
	s.router.Mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		err := crossOrigin.Check(r)
		if err != nil {
			err = serve.Refuse(http.StatusForbidden, "This form was sent by another site.")
		} else if r.Method == http.MethodPost {
			err = form(w, r)
		}
		if err == nil {
			err = h(w, r)
		}
		if err == nil {
			return
		}
		refusal := serve.AsRefusal(err)
		if refusal.Code >= 500 {
			s.telemetry.Log.WarnContext(r.Context(), "not served", "route", r.Pattern, "code", refusal.Code, "error", err.Error())
		}
		if refusal.Code == http.StatusServiceUnavailable {
			header.Set("Retry-After", "1")
		}
		header.Del("Age")
		_ = s.render(w, r, refusal.Code, "error", frame{Title: "That did not work", Data: refusal}, 0)
	})
}

// form reads a form of limited size.
func form(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, serve.MaxBody)
	if err := r.ParseForm(); err != nil {
		return serve.Refuse(http.StatusBadRequest, "The form did not arrive as a whole, or is too large.")
	}
	return nil
}

// render answers with a page. What is older than fresh says so to people and, in
// the header Age, to programs.
func (s *Service) render(w http.ResponseWriter, r *http.Request, code int, name string, f frame, age time.Duration) error {
	f.Categories, f.Name, f.Pod = goods.Categories(), cookie(r, nameCookie), s.telemetry.Identity.Pod
	f.Units, _ = strconv.Atoi(cookie(r, unitsCookie))
	if fresh := serve.Aged(w, age); fresh.Stale {
		f.Old = old(age)
	}
	var page bytes.Buffer
	if err := pages[name].ExecuteTemplate(&page, "frame", f); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(page.Bytes())
	return nil
}

// old is an age as people say it.
func old(age time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(age / u.size); n > 0 {
			if n > 1 {
				u.name += "s"
			}
			return strconv.Itoa(n) + " " + u.name
		}
	}
	return "1 second"
}

// Cookies. What is shown from them is no secret and is trusted with nothing.
const (
	cartCookie   = "shop_cart"   // number of the cart
	unitsCookie  = "shop_units"  // how many things are in it
	tokenCookie  = "shop_token"  // of the session
	nameCookie   = "shop_name"   // of who is logged in
	ordersCookie = "shop_orders" // numbers of the latest orders
)

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	value, err := url.QueryUnescape(c.Value)
	if err != nil || len(value) > 400 {
		return ""
	}
	return value
}

// keep sets a cookie, or removes it if there is no value.
func keep(w http.ResponseWriter, r *http.Request, name, value string) {
	c := &http.Cookie{Name: name, Value: url.QueryEscape(value), Path: "/", MaxAge: 7 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// back sends a browser on after a form.
func back(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// assets serves what pages refer to.
func (s *Service) assets() {
	for name, kind := range map[string]string{"shop.css": "text/css; charset=utf-8", "shop.js": "text/javascript; charset=utf-8"} {
		body, err := files.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		s.router.Handle("GET /assets/"+name, func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "public, max-age=300")
			_, _ = w.Write(body)
			return nil
		})
	}
}
