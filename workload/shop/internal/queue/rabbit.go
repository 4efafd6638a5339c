package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Rabbit is a connection to RabbitMQ that is made again when it breaks. It is a
// Publisher and a Consumer. It is safe for concurrent use.
type Rabbit struct {
	url  string
	name string
	log  *slog.Logger

	mu      sync.Mutex
	conn    *amqp.Connection
	publish *amqp.Channel // in confirm mode
}

// NewRabbit does not connect yet. It refuses an address that is none, without
// repeating it, since it holds a password.
func NewRabbit(url, name string, log *slog.Logger) (*Rabbit, error) {
	if _, err := amqp.ParseURI(url); err != nil {
		return nil, errors.New("the address of RabbitMQ is not of the form amqp://USER:PASSWORD@HOST:5672/")
	}
	return &Rabbit{url: url, name: name, log: log}, nil
}

// Check connects if need be and tells whether the broker answers.
func (r *Rabbit) Check(context.Context) error {
	_, _, err := r.connected()
	return err
}

// Close ends the connection.
func (r *Rabbit) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_ = r.conn.CloseDeadline(time.Now().Add(time.Second))
	}
}

func (r *Rabbit) connected() (*amqp.Connection, *amqp.Channel, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil && !r.conn.IsClosed() && !r.publish.IsClosed() {
		return r.conn, r.publish, nil
	}
	if r.conn != nil {
		_ = r.conn.CloseDeadline(time.Now().Add(time.Second))
		r.conn = nil
	}
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(r.name)
	conn, err := amqp.DialConfig(r.url, amqp.Config{
		Heartbeat:  5 * time.Second, // a broker that lost its power is noticed after two of them
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			c, err := net.DialTimeout(network, address, 2*time.Second)
			if err == nil {
				err = c.SetDeadline(time.Now().Add(3 * time.Second)) // for the handshake; the library lifts it
			}
			return c, err
		},
	})
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err == nil {
		err = declare(ch)
	}
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	r.conn, r.publish = conn, ch
	return conn, ch, nil
}

// declare makes what the shop needs at the broker; declaring again changes nothing.
func declare(ch *amqp.Channel) error {
	if err := ch.ExchangeDeclare(Orders, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return err
	}
	for _, name := range []string{Dispatch, Checkout, Dead} {
		if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			return err
		}
	}
	return ch.QueueBind(Dispatch, Accepted, Orders, false, nil)
}

// Publish implements Publisher: with a persistent message that must reach a queue.
func (r *Rabbit) Publish(ctx context.Context, exchange, key string, m Message) error {
	_, ch, err := r.connected()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	headers := amqp.Table{}
	for k, v := range m.Header {
		headers[k] = v
	}
	// Mandatory alone would return a message without a queue by another way; the
	// queues are durable and declared above, so a confirmed message is in one.
	confirmation, err := ch.PublishWithDeferredConfirmWithContext(ctx, exchange, key, false, false, amqp.Publishing{
		ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: m.ID, Timestamp: time.Now(), Headers: headers, Body: m.Body})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	confirmed, err := confirmation.WaitContext(ctx)
	if err != nil {
		return fmt.Errorf("%w: no confirmation: %w", ErrUnavailable, err)
	}
	if !confirmed {
		return fmt.Errorf("%w: the broker refused the message", ErrUnavailable)
	}
	return nil
}

// Consume implements Consumer. One message is handled at a time.
func (r *Rabbit) Consume(ctx context.Context, queue string, handle Handle) {
	for failures := 0; ctx.Err() == nil; {
		handled, err := r.consume(ctx, queue, handle)
		if ctx.Err() != nil {
			return
		}
		if failures++; handled {
			failures = 1
		}
		if err != nil {
			r.log.DebugContext(ctx, "consuming again soon", "queue", queue, "error", err.Error())
		}
		pause(ctx, Backoff(failures))
	}
}

// consume handles messages until one fails or the broker leaves.
func (r *Rabbit) consume(ctx context.Context, queue string, handle Handle) (handled bool, err error) {
	conn, _, err := r.connected()
	if err != nil {
		return false, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return false, err
	}
	// Closing the channel gives back what was not acknowledged.
	defer func() { _ = ch.Close() }()
	if err := ch.Qos(1, 0, false); err != nil {
		return false, err
	}
	// Not ConsumeWithContext: at the end of its context it cancels the consumer while
	// the channel is closed here, and each takes the answer that the other waits for.
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return false, err
	}
	for {
		select {
		case <-ctx.Done():
			return handled, ctx.Err()
		case d, open := <-deliveries:
			if !open {
				return handled, errors.New("the broker closed the channel")
			}
			err := handle(ctx, message(d))
			if errors.Is(err, ErrPoison) {
				r.log.ErrorContext(ctx, "a message goes to the dead", "queue", queue, "id", d.MessageId, "error", err.Error())
				err = r.Publish(ctx, "", Dead, message(d))
			}
			if err != nil {
				return handled, err
			}
			if err := d.Ack(false); err != nil {
				return handled, err
			}
			handled = true
		}
	}
}

func message(d amqp.Delivery) Message {
	m := Message{ID: d.MessageId, Body: d.Body, Header: map[string]string{}}
	for k, v := range d.Headers {
		if s, ok := v.(string); ok {
			m.Header[k] = s
		}
	}
	return m
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
