// Package keyvalue connects to Redis.
package keyvalue

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open prepares connections without making one yet. address is host:port or, with
// a password, redis://:PASSWORD@HOST:6379/0; a wrong one is refused without
// repeating it.
func Open(address string) (*redis.Client, error) {
	options := &redis.Options{Addr: address}
	if strings.Contains(address, "://") {
		parsed, err := redis.ParseURL(address)
		if err != nil {
			return nil, errors.New("the address of Redis is not of the form redis://:PASSWORD@HOST:6379/0")
		}
		options = parsed
	} else if _, err := url.Parse("redis://" + address); err != nil || address == "" {
		return nil, errors.New("the address of Redis is not of the form HOST:6379")
	}
	logging.Disable() // its outages are told once, by the service's health
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = 500*time.Millisecond, 700*time.Millisecond, 700*time.Millisecond
	options.PoolSize, options.MinIdleConns, options.ConnMaxIdleTime = 32, 0, time.Minute
	options.PoolTimeout = time.Second
	options.DialerRetries, options.MaxRetries = 1, 1
	options.ContextTimeoutEnabled = true
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(options), nil
}

// Check tells whether the server answers.
func Check(c *redis.Client) func(context.Context) error {
	return func(ctx context.Context) error { return c.Ping(ctx).Err() }
}
