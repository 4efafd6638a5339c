package step

import (
	"context"
	"fmt"
	"strings"
	"time"

	"zdl/internal/fault"
)

// NoQuorum changes nothing: it proves that etcd cannot agree upon a write any
// more, after steps that took a majority of its members away.
type NoQuorum struct {
	w *World
	// Member is the control plane whose etcd is asked, one that can answer; any
	// other when none can.
	Member string `json:"member"`
}

// NewNoQuorum plans the proof.
func (w *World) NewNoQuorum(member string) fault.Step { return &NoQuorum{w: w, Member: member} }

// writePatience is many times what a write takes when there is a majority.
const writePatience = 300 * time.Millisecond

// Mechanism is "no-quorum".
func (q *NoQuorum) Mechanism() string { return "no-quorum" }

// Touches nothing.
func (q *NoQuorum) Touches() []string { return nil }

// Inject does nothing.
func (q *NoQuorum) Inject(context.Context) error { return nil }

// Verify tries a write, which must not succeed.
func (q *NoQuorum) Verify(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	begin := time.Now()
	err := q.w.Local.EtcdWrite(ctx, q.Member)
	took := time.Since(begin).Milliseconds()
	switch {
	case err == nil:
		return "", fmt.Errorf("etcd on %s agreed upon a write after %d ms", q.Member, took)
	case ctx.Err() != nil:
		return fmt.Sprintf("a write through etcd on %s had no answer after %d ms", q.Member, took), nil
	}
	return fmt.Sprintf("a write through etcd on %s was refused after %d ms: %s", q.Member, took, lastLine(err)), nil
}

// lastLine shortens an error that carries a server's answer.
func lastLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return lines[len(lines)-1]
}

// Undo does nothing.
func (q *NoQuorum) Undo(context.Context) error { return nil }

// State is empty.
func (q *NoQuorum) State(context.Context) (map[string]string, error) { return map[string]string{}, nil }
