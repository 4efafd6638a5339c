package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

// KubeAPI asks a Kubernetes API server for one ConfigMap, or updates it, over
// HTTP/1.1 and TLS.
type KubeAPI struct {
	Address string // host:port, for example the API's virtual IP
	TLS     *tls.Config
	Path    string // of the ConfigMap, /api/v1/namespaces/…/configmaps/…
	Reuse   bool
	Write   bool
	// Seen is shared by the lanes that ask for the same object. A read of an older
	// resource version than one that was known before it began is stale. They
	// can be compared since Kubernetes 1.35 (KEP-5504), and are etcd's revisions.
	Seen *Sequence
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Subject makes it one that can be asked.
func (k KubeAPI) Subject() Subject {
	var n atomic.Uint64
	q := &request{address: k.Address, authority: k.Address, path: k.Path, method: http.MethodGet,
		begin: func() ticket { return ticket{floor: k.Seen.Floor()} }}
	if k.Write {
		q.method = http.MethodPatch
		patch := func() []byte { return fmt.Appendf(nil, `{"data":{"n":"%020d"}}`, n.Add(1)) }
		q.fields = [][2]string{{"content-type", "application/merge-patch+json"}, {"content-length", strconv.Itoa(len(patch()))}}
		q.begin = func() ticket { return ticket{note: patch(), floor: k.Seen.Floor()} }
	}
	q.judge = k.judge
	return newHTTP1(&Config{Reuse: k.Reuse, Dial: k.Dial, TLS: k.TLS}, q)
}

func (k KubeAPI) judge(status int, _ http.Header, body []byte, t ticket) (Class, error) {
	if status != http.StatusOK {
		return notRight(status)
	}
	_, rest, ok := bytes.Cut(body, []byte(`"resourceVersion":"`))
	digits, _, closed := bytes.Cut(rest, []byte(`"`))
	version, err := strconv.ParseUint(string(digits), 10, 64)
	if !ok || !closed || err != nil {
		return Wrong, fmt.Errorf("an answer without a resource version")
	}
	if t.note != nil {
		// The answer to a patch is the object right after it, so ours is in it.
		if want := t.note[len(`{"data":`) : len(t.note)-1]; !bytes.Contains(body, want) {
			return Wrong, fmt.Errorf("acknowledged, but not as it was written")
		}
	}
	if !k.Seen.Fresh(version, t.floor) {
		return Stale, fmt.Errorf("resource version %d, though %d was known before", version, t.floor)
	}
	return OK, nil
}
