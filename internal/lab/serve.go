package lab

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"zdl/internal/web"
	"zdl/internal/web/visitor"
)

// serve answers HTTP on a listener until ctx ends.
func (d *daemon) serve(ctx context.Context, listener net.Listener, handler http.Handler) {
	server := web.NewServer(handler)
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	server.ErrorLog = slog.NewLogLogger(d.log.Handler(), slog.LevelDebug) // visitors' broken requests
	d.work.Go(func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("serve", "address", listener.Addr().String(), "error", err)
		}
	})
	d.work.Go(func() {
		<-ctx.Done()
		// Streams end with ctx; give the other answers a moment.
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
}

// servePage serves the page and its API, and no more than that, to whoever can
// reach the listener.
func (d *daemon) servePage(ctx context.Context, listener net.Listener) error {
	proxies, err := d.listen.proxies()
	if err != nil {
		return err
	}
	d.serve(ctx, web.Bound(listener, visitor.DefaultLimits(), proxies), *d.handler.Load())
	return nil
}

// answer is for the unix socket. It serves the story of the boot always, faults as soon as there is an
// engine, and everything else once the lab is being watched.
func (d *daemon) answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/v1/boot" && r.Method == http.MethodGet {
		d.boot.ServeHTTP(w, r)
		return
	}
	if handler := d.handler.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	if early := d.early.Load(); early != nil {
		(*early).ServeHTTP(w, r)
		return
	}
	d.booting(w, r)
}

// booting is the answer of a lab that cannot give another yet.
func (d *daemon) booting(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]string{
		"error": "the lab is still booting", "hint": "zdl up --name " + d.name + " shows how far it is",
	})
}

// forwardTo copies a loopback listener's connections into the lab, as if they
// came from the machine "outside".
func (d *daemon) forwardTo(ctx context.Context, listener net.Listener, target string) {
	f := &forward{listener: listener, target: target, log: d.log,
		dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.cluster.Dial(ctx, "outside", network, addr)
		}}
	d.work.Go(func() { f.run(ctx) })
}

// free tells whether an address can be bound at this moment.
func free(address string) bool {
	if address == "" {
		return false
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func writeJSON(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readPorts(path string) (r daemonRecord) {
	data, err := os.ReadFile(path)
	if err == nil {
		_ = json.Unmarshal(data, &r) // a torn file means: no ports before
	}
	return r
}
