package lab

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"
)

// forward copies connections from a loopback listener to an address inside the
// lab. It is the host's only way in, and there is none out.
type forward struct {
	listener net.Listener
	target   string
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	log      *slog.Logger
}

// run accepts until ctx ends and returns when every copied connection is closed.
func (f *forward) run(ctx context.Context) {
	var open sync.WaitGroup
	defer open.Wait()
	stop := context.AfterFunc(ctx, func() { f.listener.Close() })
	defer stop()
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			f.log.Warn("accept", "error", err)
			select { // out of file descriptors, say: do not spin
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		open.Go(func() { f.copy(ctx, conn) })
	}
}

func (f *forward) copy(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	server, err := f.dial(dialCtx, "tcp", f.target)
	cancel()
	if err != nil {
		f.log.Debug("forward", "target", f.target, "error", err)
		return
	}
	defer server.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pipe(server, client) })
	both.Go(func() { pipe(client, server) })
	both.Wait()
}

// pipe copies one direction and passes the end of the stream on, so that a
// half-closed connection (kubectl exec, attach) keeps its other half.
func pipe(dst, src net.Conn) {
	_, err := io.Copy(dst, src)
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	dst.Close()
	src.Close()
}

// listen binds the wanted address. Without one it takes the first free port of
// 127.0.0.1 from the range, so that labs stand side by side.
func listen(want string, from, to int) (net.Listener, error) {
	if want != "" {
		return net.Listen("tcp", want)
	}
	var last error
	for port := from; port <= to; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, last
}
