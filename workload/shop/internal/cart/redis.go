package cart

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis keeps each cart in a hash. It is a Store.
type Redis struct{ client *redis.Client }

// NewRedis makes a store.
func NewRedis(c *redis.Client) *Redis { return &Redis{c} }

// life is how long a cart is kept after its last change.
const life = 7 * 24 * time.Hour

// set changes a cart only if it stays within its limit: in one step, so that two
// tabs of a browser cannot fill it further together.
var set = redis.NewScript(`
if redis.call('hexists', KEYS[1], ARGV[1]) == 0 and redis.call('hlen', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
redis.call('expire', KEYS[1], ARGV[4])
return 1`)

// Lines implements Store.
func (s *Redis) Lines(ctx context.Context, cart string) (map[string]int, error) {
	stored, err := s.client.HGetAll(ctx, key(cart)).Result()
	if err != nil {
		return nil, err
	}
	lines := make(map[string]int, len(stored))
	for product, quantity := range stored {
		if n, err := strconv.Atoi(quantity); err == nil && n > 0 {
			lines[product] = n
		}
	}
	return lines, nil
}

// Set implements Store.
func (s *Redis) Set(ctx context.Context, cart, product string, quantity, most int) error {
	if quantity == 0 {
		return s.client.HDel(ctx, key(cart), product).Err()
	}
	done, err := set.Run(ctx, s.client, []string{key(cart)}, product, quantity, most, int(life/time.Second)).Int()
	if err == nil && done == 0 {
		return ErrFull
	}
	return err
}

// Clear implements Store.
func (s *Redis) Clear(ctx context.Context, cart string) error {
	return s.client.Del(ctx, key(cart)).Err()
}

// Ordered implements Store.
func (s *Redis) Ordered(ctx context.Context, cart string) error {
	return s.client.Expire(ctx, key(cart), time.Hour).Err()
}

func key(cart string) string { return "cart:" + cart }
