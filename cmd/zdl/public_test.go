package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"zdl/internal/lab"
	"zdl/internal/web"
)

func TestOnlyPublicListensBeyondLoopback(t *testing.T) {
	for line, want := range map[string]string{
		"up --listen 0.0.0.0:8420":                       "for that there is --public",
		"up --listen 192.0.2.7:80":                       "for that there is --public",
		"up --listen nonsense":                           "give HOST:PORT",
		"up --public":                                    "flag needs an argument: --public",
		"up --public :8420":                              "give an IP address of this machine and a port",
		"up --public 0.0.0.0":                            "give an IP address of this machine and a port",
		"up --public lab.example:80":                     "give an IP address of this machine and a port",
		"up --public-host lab.example":                   "--public ADDR, which is missing",
		"up --trust-proxy 192.0.2.7/32":                  "--public ADDR, which is missing",
		"up --public 0.0.0.0:8420 --trust-proxy 1.2.3.4": "is no network",
	} {
		a, stdout, stderr := testApp(t)
		if code := run(t, a, strings.Fields(line)...); code != exitUsage {
			t.Errorf("%s: exit code %d, want 2", line, code)
		}
		if first, _, _ := strings.Cut(stderr.String(), "\n"); !strings.Contains(first, want) || !strings.Contains(stderr.String(), "\ntry: ") || stdout.Len() > 0 {
			t.Errorf("%s: says %q, want %q", line, stderr, want)
		}
		if _, err := os.Stat(a.dirs.State); err == nil {
			t.Errorf("%s: left something in the state directory", line)
		}
	}
}

func TestOwnerTokenPrintsTheTokenOrANewOne(t *testing.T) {
	a, stdout, stderr := testApp(t)
	fakeDaemon(t, a, "default", map[string]any{
		"GET /api/v1/owner/token":  web.TokenReply{Token: "OLD"},
		"POST /api/v1/owner/token": web.TokenReply{Token: "NEW"},
	})
	for line, want := range map[string]string{"owner-token": "OLD\n", "owner-token --rotate": "NEW\n"} {
		stdout.Reset()
		if code := run(t, a, strings.Fields(line)...); code != exitOK || stdout.String() != want {
			t.Errorf("%s: exit code %d, %q, %s", line, code, stdout, stderr)
		}
	}
}

func TestUpSaysWhereVisitorsGoAndWhatTheOwnerNeeds(t *testing.T) {
	a, stdout, _ := testApp(t)
	a.name = "default"
	fakeDaemon(t, a, "default", map[string]any{"GET /api/v1/owner/token": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"token":"ABC"}`))
	})})
	if err := a.printPublic(t.Context(), &lab.Info{Public: "http://192.0.2.7:8420"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://192.0.2.7:8420", "ABC", "Authorization: Bearer", "--rotate"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
}
