package lab

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNamesOfLabs(t *testing.T) {
	for name, ok := range map[string]bool{
		"default": true, "a": true, "a-1": true, "": false, "-a": false, "a-": false, "A": false, "a/b": false,
		"..": false, strings.Repeat("x", 20): true, strings.Repeat("x", 21): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestALockHasOneHolderAndOutlivesItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "lock")
	first, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(path); !errors.Is(err, errLocked) {
		t.Errorf("a second holder got %v, want errLocked", err)
	}
	// The holder removes the file, as down does; whoever comes next must not
	// share the lock with somebody who opened the old file.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	first.Close()
	second, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := lock(path); !errors.Is(err, errLocked) {
		t.Errorf("after removal a second holder got %v, want errLocked", err)
	}
}

func TestARunDirectoryOfAnotherBootIsForgotten(t *testing.T) {
	d := Dirs{Run: t.TempDir()}
	if err := settleBoot(d, "x"); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(d.run("x"), "machines")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := settleBoot(d, "x"); err != nil || !exists(stale) {
		t.Fatalf("within one boot the directory must stay (%v)", err)
	}
	if err := os.WriteFile(filepath.Join(d.run("x"), "host-boot-id"), []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := settleBoot(d, "x"); err != nil || exists(stale) {
		t.Errorf("after a reboot the directory must be new (%v)", err)
	}
}

// daemonAt serves a boot log on a lab's socket as its daemon does.
func daemonAt(t *testing.T, d Dirs, name string, b *bootLog) *Client {
	t.Helper()
	if err := os.MkdirAll(d.run(name), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socketPath(d, name))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/boot", b)
	mux.HandleFunc("/api/v1/no", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"error":"It cannot be.","hint":"try another"}`)
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	client, err := Connect(d, name)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestWhoJoinsABootLateHearsAllOfIt(t *testing.T) {
	b := newBootLog()
	b.step("fabric", "", true)
	client := daemonAt(t, Dirs{Run: t.TempDir(), State: t.TempDir()}, "x", b)
	var heard []string
	info, err := follow(t.Context(), client, func(p Progress) {
		heard = append(heard, p.Phase)
		if p.Phase == "fabric" {
			b.step("api", "", true)
			b.finish(&Info{Name: "x"}, nil)
		}
	})
	if err != nil || info == nil || info.Name != "x" {
		t.Fatalf("follow = %+v, %v", info, err)
	}
	if got := strings.Join(heard, " "); got != "fabric api" {
		t.Errorf("heard %q, want fabric api", got)
	}
}

func TestAFailedBootAndARefusalComeBackAsOneSentence(t *testing.T) {
	b := newBootLog()
	b.finish(nil, errors.New("the disk is full"))
	client := daemonAt(t, Dirs{Run: t.TempDir(), State: t.TempDir()}, "x", b)
	if _, err := follow(t.Context(), client, nil); err == nil || err.Error() != "the disk is full" {
		t.Errorf("follow: %v", err)
	}
	if err := client.Do(t.Context(), http.MethodPost, "/api/v1/no", struct{}{}, nil); err == nil || err.Error() != "It cannot be. (try another)" {
		t.Errorf("Do: %v", err)
	}
}

func TestConnectTellsNoLabFromNoDaemon(t *testing.T) {
	d := Dirs{Run: t.TempDir(), State: t.TempDir()}
	if _, err := Connect(d, "x"); !errors.Is(err, ErrNoLab) {
		t.Errorf("without a lab: %v", err)
	}
	if err := os.MkdirAll(d.state("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(d, "x"); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestAForwardKeepsTheOtherHalfOpen(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // answers only after it has heard the end of the question
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		question, _ := io.ReadAll(conn)
		conn.Write(append([]byte("answer to "), question...))
	}()
	front, err := listen("127.0.0.1:0", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	f := &forward{listener: front, target: server.Addr().String(), log: slog.New(slog.DiscardHandler),
		dial: (&net.Dialer{}).DialContext}
	go func() { f.run(ctx); close(ended) }()

	conn, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "question")
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "answer to question" {
		t.Errorf("got %q, %v", got, err)
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the forward did not end with its context")
	}
}
