package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zdl/workload/shop/internal/cart"
	"zdl/workload/shop/internal/catalogue"
	"zdl/workload/shop/internal/documents"
	"zdl/workload/shop/internal/keyvalue"
	"zdl/workload/shop/internal/ledger"
	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/ratings"
	"zdl/workload/shop/internal/relational"
	"zdl/workload/shop/internal/serve"
	"zdl/workload/shop/internal/shipping"
	"zdl/workload/shop/internal/user"
)

// connect gives a service its stores. None of them has to be there yet.
func connect(s *serve.Service, name string) error {
	switch name {
	case "catalogue":
		client, db, err := documents.Open(need("SHOP_MONGO_URI"), name)
		if err != nil {
			return err
		}
		store := catalogue.NewMongo(db)
		s.Keep("mongo", store.Setup, store.Check)
		s.Close = append(s.Close, func() { _ = client.Disconnect(soon()) })
		addCatalogue(s, store)
	case "user":
		client, db, err := documents.Open(need("SHOP_MONGO_URI"), name)
		if err != nil {
			return err
		}
		accounts := user.NewMongo(db)
		redis, err := keyvalue.Open(need("SHOP_REDIS_ADDR"))
		if err != nil {
			return err
		}
		s.Keep("mongo", accounts.Check, accounts.Check)
		s.Keep("redis", keyvalue.Check(redis), keyvalue.Check(redis))
		s.Close = append(s.Close, func() { _ = client.Disconnect(soon()) }, func() { _ = redis.Close() })
		addUser(s, accounts, user.NewRedis(redis), 0)
	case "cart":
		redis, err := keyvalue.Open(need("SHOP_REDIS_ADDR"))
		if err != nil {
			return err
		}
		s.Keep("redis", keyvalue.Check(redis), keyvalue.Check(redis))
		s.Close = append(s.Close, func() { _ = redis.Close() })
		addCart(s, cart.NewRedis(redis), at)
	case "shipping":
		db, err := relational.Open(need("SHOP_MYSQL_DSN"))
		if err != nil {
			return err
		}
		store := shipping.NewMariaDB(db)
		s.Keep("mariadb", store.Setup, db.Check)
		s.Close = append(s.Close, func() { _ = db.DB.Close() })
		addShipping(s, store)
	case "ratings":
		db, err := relational.Open(need("SHOP_MYSQL_DSN"))
		if err != nil {
			return err
		}
		store := ratings.NewMariaDB(db)
		s.Keep("mariadb", store.Setup, db.Check)
		s.Close = append(s.Close, func() { _ = db.DB.Close() })
		addRatings(s, store, at)
	case "payment":
		store, err := orders(s, 12)
		if err != nil {
			return err
		}
		broker, err := rabbit(s)
		if err != nil {
			return err
		}
		addPayment(s, store, broker, broker, at)
	case "dispatch":
		store, err := orders(s, 8)
		if err != nil {
			return err
		}
		broker, err := rabbit(s)
		if err != nil {
			return err
		}
		addDispatch(s, store, broker)
	case "web":
		broker, err := rabbit(s)
		if err != nil {
			return err
		}
		addWeb(s, broker, at)
	default:
		return fmt.Errorf("there is no service %s", name)
	}
	return nil
}

func orders(s *serve.Service, connections int32) (*ledger.Postgres, error) {
	store, err := ledger.NewPostgres(need("SHOP_POSTGRES_DSN"), connections)
	if err != nil {
		return nil, err
	}
	s.Keep("postgres", store.Setup, store.Check)
	s.Close = append(s.Close, store.Close)
	return store, nil
}

func rabbit(s *serve.Service) (*queue.Rabbit, error) {
	broker, err := queue.NewRabbit(need("SHOP_AMQP_URL"), s.Telemetry.Identity.Pod, s.Telemetry.Log)
	if err != nil {
		return nil, err
	}
	s.Keep("rabbitmq", broker.Check, broker.Check)
	s.Close = append(s.Close, broker.Close)
	return broker, nil
}

// defaults are the addresses of stores where a Kubernetes Service names them, for
// trying things out; passwords come from the environment only.
var defaults = map[string]string{
	"SHOP_MONGO_URI":    "mongodb://documents:27017/",
	"SHOP_REDIS_ADDR":   "redis:6379",
	"SHOP_MYSQL_DSN":    "shop@tcp(mariadb:3306)/shop",
	"SHOP_AMQP_URL":     "amqp://rabbitmq:5672/",
	"SHOP_POSTGRES_DSN": "postgres://shop@orders-primary:5432/shop?target_session_attrs=read-write",
}

func need(key string) string { return env(key, defaults[key]) }

// at is the address of another service.
func at(service string) string {
	return env("SHOP_"+strings.ToUpper(service)+"_URL", "http://"+service+":8080")
}

// soon is a context for saying goodbye.
func soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}
