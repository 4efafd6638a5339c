package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zdl/internal/lab"
)

// testApp is the program with directories of its own, as root sees it.
func testApp(t *testing.T) (a *app, stdout, stderr *bytes.Buffer) {
	t.Helper()
	// A unix socket's path has at most 107 bytes, and test names are long.
	dir, err := os.MkdirTemp("", "zdl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("ZDL_NAME", "")
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{
		stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, euid: func() int { return 0 },
		dirs: lab.Dirs{Cache: filepath.Join(dir, "cache"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run")},
	}, stdout, stderr
}

// fakeDaemon answers the API of a lab on its socket.
func fakeDaemon(t *testing.T, a *app, name string, routes map[string]any) {
	t.Helper()
	dir := filepath.Join(a.dirs.Run, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "daemon.sock"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, answer := range routes {
		switch h := answer.(type) {
		case http.HandlerFunc:
			mux.Handle(pattern, h)
		default:
			mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(answer) })
		}
	}
	mux.HandleFunc("GET /api/v1/boot", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("event: done\ndata: " + `{"name":"` + name + `","page":"http://127.0.0.1:8420","users":"http://127.0.0.1:8520","kubeconfig":"/state/kubeconfig"}` + "\n\n"))
	})
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

func run(t *testing.T, a *app, args ...string) int {
	t.Helper()
	return a.run(t.Context(), args)
}
