package queue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"zdl/workload/shop/internal/queue"
	"zdl/workload/shop/internal/shoptest"
)

func TestMessagesInRabbitMQ(t *testing.T) {
	server := shoptest.Start(t, shoptest.Program{
		Name: "/usr/lib/rabbitmq/bin/rabbitmq-server", // the one in the path insists on its own user and directories
		Prepare: func(dir, port string) []string {
			return []string{"sh", "-c", fmt.Sprintf("printf 'listeners.tcp.1 = 127.0.0.1:%s\\n' > %s/rabbit.conf && echo '[].' > %s/plugins && echo secretsecret > %s/.erlang.cookie && chmod 400 %s/.erlang.cookie", port, dir, dir, dir, dir)}
		},
		Env: func(dir, port string) []string {
			return []string{"RABBITMQ_NODENAME=shop" + port + "@localhost", "RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbit"), "RABBITMQ_CONF_ENV_FILE=/dev/null",
				"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "data"),
				"RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"), "RABBITMQ_LOGS=-",
				"RABBITMQ_FEATURE_FLAGS="} // none: their migrations take longer than everything else
		}})
	address := "amqp://guest:guest@127.0.0.1:" + server.Port + "/"
	broker, err := queue.NewRabbit(address, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	shoptest.Wait(t, broker.Check)
	ctx := t.Context()
	send := func(id string) error {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return broker.Publish(limited, queue.Orders, queue.Accepted, queue.Message{ID: id, Body: []byte(id), Header: map[string]string{"traceparent": "t-" + id}})
	}

	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := send(string(rune('A' + i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	// What was confirmed survives the broker's death.
	server.Off()
	if err := send("lost"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("sent to nobody: %v", err)
	}
	server.On()
	shoptest.Wait(t, broker.Check)

	var mu sync.Mutex
	taken, refusals := map[string]int{}, 0
	consumer, err := queue.NewRabbit(address, "consumer", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	working, stop := context.WithCancel(ctx)
	defer stop()
	for range 3 {
		all.Go(func() {
			consumer.Consume(working, queue.Dispatch, func(_ context.Context, m queue.Message) error {
				mu.Lock()
				defer mu.Unlock()
				if m.Header["traceparent"] != "t-"+m.ID || string(m.Body) != m.ID {
					t.Errorf("took %+v", m)
				}
				switch {
				case m.ID == "C":
					return queue.ErrPoison
				case m.ID == "D" && refusals < 3:
					refusals++
					return errors.New("not now")
				}
				taken[m.ID]++
				return nil
			})
		})
	}
	shoptest.Wait(t, func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if len(taken) < 49 || refusals < 3 {
			return errors.New("not all were taken")
		}
		return nil
	})
	if taken["C"] != 0 || taken["D"] != 1 {
		t.Errorf("took %v", taken)
	}
	dead := make(chan string, 1)
	all.Go(func() {
		consumer.Consume(working, queue.Dead, func(_ context.Context, m queue.Message) error {
			dead <- m.ID
			return nil
		})
	})
	select {
	case id := <-dead:
		if id != "C" {
			t.Errorf("%s is dead", id)
		}
	case <-time.After(10 * time.Second):
		t.Error("the message that nobody understands is nowhere")
	}
	stop()
	all.Wait()
}
