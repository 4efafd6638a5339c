package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zdl/internal/cluster/local/fabric"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// rig is the fabric of a lab with the real HAProxy and keepalived on it, and
// with servers of ours in place of API servers and ingresses.
type rig struct {
	t    *testing.T
	f    *fabric.Fabric
	topo *topology.Topology
	lab  *labfile.Lab
	runs map[string]*exec.Cmd // by machine/service
	// healthy says what each node answers to health checks.
	healthy map[string]*atomic.Bool
}

// newFabric makes the fabric with our servers on it, and no edge yet.
func newFabric(t *testing.T, profileName string) *rig {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root, with haproxy and keepalived installed: makes network namespaces")
	}
	topo, lab := profile(t, profileName)
	r := &rig{t: t, f: fabric.New("edge-test", topo, t.TempDir()), topo: topo, lab: lab,
		runs: map[string]*exec.Cmd{}, healthy: map[string]*atomic.Bool{}}
	t.Cleanup(func() {
		for name := range r.runs {
			r.kill(name)
		}
		if err := r.f.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	if err := r.f.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range topo.Machines {
		if _, err := r.f.Plug(t.Context(), &topo.Machines[i]); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s fabric, one after the other: %v", profileName, time.Since(begin))
	for _, n := range topo.Nodes() {
		r.serve(n)
	}
	return r
}

// newRig makes the fabric with our servers and starts the edge's own programs,
// each without a machine around it.
func newRig(t *testing.T, profileName string) *rig {
	t.Helper()
	r := newFabric(t, profileName)
	topo := r.topo
	begin := time.Now()
	for _, m := range topo.Of(topology.KindRouter, topology.KindEdge) {
		r.boot(m)
	}
	for _, m := range topo.Of(topology.KindRouter, topology.KindEdge) {
		if len(topo.Of(m.Kind)) > 1 {
			r.until("keepalived of "+m.Name, func() error { return r.keepalivedHears(m) })
		}
	}
	r.until("the users' virtual IP answers", func() error { _, err := r.get(200 * time.Millisecond); return err })
	r.until("the API's virtual IP answers", func() error { return r.api("outside", 200*time.Millisecond) })
	t.Logf("both virtual IPs answer %v after the edge was started", time.Since(begin))
	return r
}

// serve imitates an ingress on a worker, an API server on a control plane.
func (r *rig) serve(n *topology.Machine) {
	health := new(atomic.Bool)
	health.Store(true)
	r.healthy[n.Name] = health
	port, path := topology.IngressPort, "/kube-system/healthz"
	if n.Kind == topology.KindControlPlane {
		port, path = topology.APIPort, "/readyz"
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == path && !health.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "%s for %s", n.Name, req.Header.Get("X-Forwarded-For"))
	})
	r.listen(n, port, handler, n.Kind == topology.KindControlPlane)
	if n.Kind != topology.KindControlPlane {
		r.listen(n, topology.IngressTLSPort, handler, true)
	}
}

// listen answers on a port of a node, by TLS or without.
func (r *rig) listen(n *topology.Machine, port int, handler http.Handler, secure bool) {
	l, err := r.f.Listen(r.t.Context(), n.Name, "tcp", fmt.Sprintf("%s:%d", n.Addr(), port))
	if err != nil {
		r.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = nil
	s.Listener.Close()
	s.Listener = l
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	r.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
}

// boot starts a machine's services, or those of the given names: in its network,
// with files of its own.
func (r *rig) boot(m *topology.Machine, only ...string) {
	r.t.Helper()
	configure := Router
	if m.Kind == topology.KindEdge {
		configure = LoadBalancer
	}
	files, services, err := configure(r.topo, r.lab, m)
	if err != nil {
		r.t.Fatal(err)
	}
	dir := r.t.TempDir()
	for name, file := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Data, file.Mode); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, s := range services {
		if len(only) > 0 && !slices.Contains(only, s.Name) {
			continue
		}
		if len(s.WaitFor) > 0 { // for HAProxy's socket, which exists in its own files only
			r.until(m.Name+"/haproxy runs", func() error { return r.connect(m, StatsPort) })
		}
		script := `set -e
for d in /run /etc/haproxy /etc/keepalived; do mount -t tmpfs none $d; done
mount -t proc none /proc
cp -r "$0"/. /
exec "$@"`
		cmd := exec.Command("/bin/sh", append([]string{"-c", script, dir}, s.Argv...)...)
		log := new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID,
			Unshareflags: syscall.CLONE_NEWNS}
		// A child is born in the namespace of the thread that starts it.
		if err := r.f.Do(m.Name, cmd.Start); err != nil {
			r.t.Fatal(err)
		}
		name := m.Name + "/" + s.Name
		r.runs[name] = cmd
		r.t.Cleanup(func() {
			if r.t.Failed() || testing.Verbose() && os.Getenv("ZDL_TEST_LOGS") != "" {
				r.t.Logf("%s said:\n%s", name, log)
			}
		})
	}
}

// connect tries a port of a machine from the machine itself.
func (r *rig) connect(m *topology.Machine, port int) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), 100*time.Millisecond)
	defer cancel()
	conn, err := r.f.Dial(ctx, m.Name, "tcp", fmt.Sprintf("%s:%d", m.Addr(), port))
	if err == nil {
		conn.Close()
	}
	return err
}

// keepalivedHears asks whether a machine's keepalived listens to its peers.
func (r *rig) keepalivedHears(m *topology.Machine) error {
	var sockets []byte
	err := r.f.Do(m.Name, func() (err error) {
		sockets, err = os.ReadFile("/proc/thread-self/net/raw")
		return err
	})
	if err == nil && bytes.Count(sockets, []byte("\n")) < 2 { // the first line is a heading
		err = errors.New("no raw socket open")
	}
	return err
}

// kill ends a service and all its processes, as kill -9 would.
func (r *rig) kill(name string) {
	if cmd := r.runs[name]; cmd != nil {
		delete(r.runs, name)
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// get asks the users' virtual IP from outside on a new connection. Its error is
// about anything but 200.
func (r *rig) get(timeout time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: r.dialer("outside")}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+topology.UserVIP.String()+"/", nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.StatusCode != http.StatusOK {
		return resp, fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return resp, nil
}

func (r *rig) dialer(machine string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return r.f.Dial(ctx, machine, network, addr)
	}
}

// until waits for a condition, at most 10 s, and returns how long it took.
func (r *rig) until(what string, condition func() error) time.Duration {
	r.t.Helper()
	begin := time.Now()
	for {
		err := condition()
		took := time.Since(begin)
		if err == nil {
			return took
		}
		if took > 10*time.Second {
			r.t.Fatalf("not within 10 s: %s: %v", what, err)
		}
		pause(r.t, 2*time.Millisecond)
	}
}

func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// holder names the one machine of a kind that has an address.
func (r *rig) holder(kind topology.Kind, addr string) string {
	r.t.Helper()
	var holders []string
	r.until("one machine has "+addr, func() error {
		if holders = r.holders(kind, addr); len(holders) != 1 {
			return fmt.Errorf("it is on %v", holders)
		}
		return nil
	})
	return holders[0]
}

// holders names the machines of a kind that have an address.
func (r *rig) holders(kind topology.Kind, addr string) []string {
	r.t.Helper()
	var names []string
	for _, m := range r.topo.Of(kind) {
		err := r.f.Do(m.Name, func() error {
			addrs, err := net.InterfaceAddrs()
			for _, a := range addrs {
				if strings.HasPrefix(a.String(), addr+"/") {
					names = append(names, m.Name)
				}
			}
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it may be off
			r.t.Fatal(err)
		}
	}
	return names
}

// outage does something that interrupts the users' virtual IP and returns the
// time from then until it answered again.
func (r *rig) outage(do func()) time.Duration {
	r.t.Helper()
	begin := time.Now()
	do()
	r.until("interruption is seen", func() error {
		if _, err := r.get(25 * time.Millisecond); err == nil {
			return fmt.Errorf("still answers")
		}
		return nil
	})
	r.until("the users' virtual IP answers again", func() error { _, err := r.get(25 * time.Millisecond); return err })
	return time.Since(begin)
}
