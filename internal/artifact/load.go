package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Runner runs a command inside a node of a running lab, feeds it stdin and
// returns what it printed. The error must carry the output of a command that
// failed.
type Runner interface {
	Run(ctx context.Context, node string, stdin io.Reader, argv ...string) ([]byte, error)
}

// LoadResult says what became of an archive's images on one node.
type LoadResult struct {
	Node   string        `json:"node"`
	Loaded bool          `json:"loaded"`
	Took   time.Duration `json:"took"` // nanoseconds
	Error  string        `json:"error,omitempty"`
}

// Load brings an archive's images onto nodes, all at the same time. There is
// one result for each node, in the order of nodes; the error joins those of
// all nodes that failed.
func Load(ctx context.Context, a *Archive, r Runner, nodes []string) ([]LoadResult, error) {
	results, errs := make([]LoadResult, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			began := time.Now()
			err := a.loadOnto(ctx, r, node)
			results[i] = LoadResult{Node: node, Loaded: err == nil, Took: time.Since(began)}
			if err != nil {
				results[i].Error = err.Error()
				errs[i] = fmt.Errorf("load %s onto %s: %w", a.Path, node, err)
			}
		})
	}
	wg.Wait()
	return results, errors.Join(errs...)
}

func (a *Archive) loadOnto(ctx context.Context, r Runner, node string) error {
	reader, writer := io.Pipe()
	streamed := make(chan error, 1)
	go func() {
		err := a.Stream(writer)
		writer.CloseWithError(err)
		streamed <- err
	}()
	_, err := r.Run(ctx, node, reader, "/opt/zdl/bin/ctr", "--namespace", "k8s.io", "images", "import", "-")
	reader.Close() // a command that ended early would leave the writer waiting
	if wrote := <-streamed; err == nil && wrote != nil && !errors.Is(wrote, io.ErrClosedPipe) {
		err = wrote
	}
	return err
}
