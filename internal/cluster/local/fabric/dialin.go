package fabric

import (
	"context"
	"net"
)

// DialIn opens a connection from inside the network namespace at a path, for
// example a pod's: /proc/PID/ns/net. See Dial.
func DialIn(ctx context.Context, path, network, addr string) (net.Conn, error) {
	f := &Fabric{dir: "/", visits: make(chan struct{}, 1)}
	return f.Dial(ctx, path, network, addr)
}
