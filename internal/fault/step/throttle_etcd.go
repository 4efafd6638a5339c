package step

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// fsyncs counts the syncs of a write-ahead log and the time they took.
type fsyncs struct {
	count int
	sum   time.Duration
}

func (f fsyncs) minus(before fsyncs) fsyncs {
	return fsyncs{f.count - before.count, f.sum - before.sum}
}

func (f fsyncs) mean() time.Duration {
	if f.count <= 0 {
		return 0
	}
	return (f.sum / time.Duration(f.count)).Round(100 * time.Microsecond)
}

// etcdFsyncs reads what a member tells in its metrics (etcd's name of the
// histogram: etcd_disk_wal_fsync_duration_seconds).
func (w *World) etcdFsyncs(ctx context.Context, node string) (fsyncs, error) {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return w.Local.Dial(ctx, node, network, addr)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:2381/metrics", nil)
	if err != nil {
		return fsyncs{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fsyncs{}, err
	}
	defer resp.Body.Close()
	var out fsyncs
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		const name = "etcd_disk_wal_fsync_duration_seconds_"
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok {
			continue
		}
		which, value, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
			return out, err
		case which == "sum":
			out.sum = time.Duration(n * float64(time.Second))
		case which == "count":
			out.count = int(n)
		}
	}
	return out, lines.Err()
}
