// Command web is the target: the small service that visitors of the lab try to
// take down. It answers who served the request, and it shuts down the way every
// service behind a load balancer should, so that whatever outage you see was
// caused by the cluster around it and not by the service itself.
//
// Environment (the Deployment fills it from the downward API, a ConfigMap and a
// Secret):
//
//	POD_NAME NODE_NAME POD_IP ZONE   who and where this replica is
//	VERSION                          what it says its version is (default: as built)
//	LISTEN                           address to listen on (default ":8080")
//	DRAIN                            how long it goes on serving after SIGTERM (default 2s)
//	GRACE                            how long requests under way may take after that (default 10s)
//	SIGNING_KEY                      signs answers, in X-Signature (default: they are not signed)
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker: -X main.version=v1.
var version = "dev"

func main() {
	if err := run(); err != nil {
		slog.Error("web failed", "error", err)
		os.Exit(1)
	}
}

func run() error {
	drain, err := duration("DRAIN", 2*time.Second)
	if err != nil {
		return err
	}
	grace, err := duration("GRACE", 10*time.Second)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", env("LISTEN", ":8080"))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	hostname, _ := os.Hostname() // in a pod, the pod's name
	service := NewService(Identity{
		Pod:     env("POD_NAME", hostname),
		Node:    os.Getenv("NODE_NAME"),
		Zone:    os.Getenv("ZONE"),
		Address: os.Getenv("POD_IP"),
		Version: env("VERSION", version),
	})
	service.SignWith(os.Getenv("SIGNING_KEY"))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	slog.Info("serving", "address", listener.Addr().String(), "pod", service.identity.Pod, "version", service.identity.Version)
	return Serve(ctx, listener, service, drain, grace)
}

func env(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}

func duration(key string, fallback time.Duration) (time.Duration, error) {
	v := os.Getenv(key)
	if v == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s is %q: want a duration such as 2s or 500ms", key, v)
	}
	return d, nil
}
