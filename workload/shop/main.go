// Command shop is a shop made of eight services, all in this one program:
//
//	shop web|catalogue|cart|user|shipping|ratings|payment|dispatch   run a service
//	shop rebuild                                                     make the processed data again, from the ledger
//	shop rebuild --check                                             compare them with the ledger; fails where they differ
//
// A service answers requests on :8080 and the cluster on :9090 (/livez, /readyz,
// /readyz?verbose, /metrics, /traces). It starts without its stores, serves what
// it can, and uses them when they are there.
//
// Environment:
//
//	SHOP_MONGO_URI SHOP_REDIS_ADDR SHOP_MYSQL_DSN SHOP_AMQP_URL SHOP_POSTGRES_DSN   stores; each service needs its own
//	SHOP_CATALOGUE_URL … SHOP_PAYMENT_URL   the other services (default: http://NAME:8080)
//	SHOP_DRAIN                   how long it goes on serving after SIGTERM (default 3s)
//	SHOP_GRACE                   how long requests under way may take after that (default 10s)
//	SHOP_LISTEN SHOP_ADMIN       addresses to listen on (default ":8080" and ":9090")
//	SHOP_LOG                     debug, info, warn or error (default info); debug logs every request
//	OTEL_EXPORTER_OTLP_ENDPOINT  where traces go (default: they are kept in memory only)
//	POD_NAME NODE_NAME ZONE      who and where this replica is
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/telemetry"
)

// version is set by the linker: -X main.version=v1.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("want the name of a service (web, catalogue, cart, user, shipping, ratings, payment or dispatch) or rebuild [--check]")

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "rebuild":
		return rebuild(ctx, os.Stdout)
	case len(args) == 2 && args[0] == "rebuild" && args[1] == "--check":
		return check(ctx, os.Stdout)
	case len(args) != 1 || !slices.Contains(telemetry.Services, args[0]):
		return errUsage
	}
	return runService(ctx, args[0])
}

func runService(ctx context.Context, name string) error {
	drain, err := duration("SHOP_DRAIN", 3*time.Second)
	if err != nil {
		return err
	}
	grace, err := duration("SHOP_GRACE", 10*time.Second)
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(env("SHOP_LOG", "info"))); err != nil {
		return fmt.Errorf("SHOP_LOG is %q: want debug, info, warn or error", os.Getenv("SHOP_LOG"))
	}
	hostname, _ := os.Hostname() // in a pod, the pod's name
	export := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	t, err := telemetry.New(ctx, telemetry.Identity{Service: name, Pod: env("POD_NAME", hostname), Node: os.Getenv("NODE_NAME"),
		Zone: os.Getenv("ZONE"), Version: version}, os.Stdout, level, export)
	if err != nil {
		return err
	}
	s := serve.New(t)
	if err := connect(s, name); err != nil {
		return err
	}
	api, err := net.Listen("tcp", env("SHOP_LISTEN", ":8080"))
	if err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	admin, err := net.Listen("tcp", env("SHOP_ADMIN", ":9090"))
	if err != nil {
		return fmt.Errorf("listen for the cluster: %w", err)
	}
	return s.Run(ctx, api, admin, drain, grace)
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
		return 0, fmt.Errorf("%s is %q: want a duration such as 3s or 500ms", key, v)
	}
	return d, nil
}
