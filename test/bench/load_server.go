package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// serveEnv makes this program the server that generators are measured with.
const serveEnv = "ZDL_BENCH_SERVE"

// serveIfAsked serves on the inherited socket: at once on /, after 5 to 50 ms on
// /spread, and on /stall like / except for the second that POST /stall-in?d=3s
// announces.
func serveIfAsked() {
	if os.Getenv(serveEnv) == "" {
		return
	}
	listener, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: serve:", err)
		os.Exit(1)
	}
	parent := os.Getppid()
	go func() { // never outlive the bench
		for range time.Tick(time.Second) {
			if os.Getppid() != parent {
				os.Exit(0)
			}
		}
	}()
	body := []byte(`{"pod":"none","node":"loopback","zone":"none","version":"v1","requests":1}` + "\n")
	var n, from atomic.Int64 // requests; when it stands still, in ns of the wall clock
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	mux.HandleFunc("/spread", func(w http.ResponseWriter, _ *http.Request) {
		// 5 to 50 ms, each as often as the others, in an order without a pattern.
		time.Sleep(time.Duration(5+(n.Add(1)*31)%46) * time.Millisecond)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("POST /stall-in", func(_ http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.FormValue("d")) // 0 is as good
		from.Store(time.Now().Add(d).UnixNano())
	})
	mux.HandleFunc("/stall", func(w http.ResponseWriter, _ *http.Request) {
		if into := time.Duration(time.Now().UnixNano() - from.Load()); into >= 0 && into < time.Second {
			time.Sleep(time.Second - into)
		}
		_, _ = w.Write(body)
	})
	_ = (&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(listener)
	os.Exit(0)
}
