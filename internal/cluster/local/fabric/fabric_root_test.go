package fabric

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"zdl/internal/topology"
)

// newLab builds the fabric of a profile with all machines plugged in.
func newLab(t testing.TB, profile string) (*Fabric, *topology.Topology) {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: makes network namespaces")
	}
	topo := profileTopology(profile)
	f := New("fabric-test", topo, t.TempDir())
	t.Cleanup(func() {
		if err := f.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	up(t, f, topo)
	t.Logf("%s: %d switches and %d machines up in %v", profile, len(topo.Segments), len(topo.Machines), time.Since(begin))
	return f, topo
}

func up(t testing.TB, f *Fabric, topo *topology.Topology) {
	t.Helper()
	if err := f.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	for i := range topo.Machines {
		g.Go(func() error {
			_, err := f.Plug(ctx, &topo.Machines[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// serve answers HTTP on a machine with the machine's name and the client's address.
func serve(t *testing.T, f *Fabric, machine, addr string) {
	t.Helper()
	l, err := f.Listen(t.Context(), machine, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, machine+" "+r.RemoteAddr)
	})}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
}

func get(ctx context.Context, f *Fabric, machine, addr string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return f.Dial(ctx, machine, network, addr)
		}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// within gives a context of a test that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestEveryMachineReachesEveryOtherWithOneRouter(t *testing.T) {
	f, topo := newLab(t, "small")
	for i := range topo.Machines {
		m := &topo.Machines[i]
		serve(t, f, m.Name, m.Addr().String()+":8080")
	}
	begin, pairs := time.Now(), 0
	for _, from := range topo.Machines {
		for _, to := range topo.Machines {
			got, err := get(within(t, 5*time.Second), f, from.Name, to.Addr().String()+":8080")
			if err != nil {
				t.Fatalf("%s to %s: %v", from.Name, to.Name, err)
			}
			if !strings.HasPrefix(got, to.Name+" ") {
				t.Errorf("%s to %s: answered %q", from.Name, to.Name, got)
			}
			// Nobody translates addresses between machines.
			if from.Kind != topology.KindRouter && !strings.HasPrefix(got, to.Name+" "+from.Addr().String()+":") {
				t.Errorf("%s to %s: came as %q", from.Name, to.Name, got)
			}
			pairs++
		}
	}
	t.Logf("%d pairs, %v each", pairs, time.Since(begin)/time.Duration(pairs))
}

func TestTheDefaultLabIsUpQuickly(t *testing.T) {
	f, topo := newLab(t, "ha")
	begin := time.Now()
	up(t, f, topo)
	t.Logf("again, with nothing to do: %v", time.Since(begin))
	begin = time.Now()
	if err := f.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("down: %v", time.Since(begin))
}

func TestPodsOfEveryNodeAreReachableFromEverywhere(t *testing.T) {
	f, topo := newLab(t, "small")
	for _, n := range topo.Nodes() {
		// A pod's address, on the node itself.
		pod := n.PodCIDR.Addr().Next().Next()
		if err := f.addAddress(n.Name, pod.String()+"/32"); err != nil {
			t.Fatal(err)
		}
		serve(t, f, n.Name, pod.String()+":8080")
		for _, from := range topo.Machines {
			if _, err := get(within(t, 5*time.Second), f, from.Name, pod.String()+":8080"); err != nil {
				t.Errorf("%s to pod on %s: %v", from.Name, n.Name, err)
			}
		}
	}
}

// addAddress gives a machine's loopback one more address.
func (f *Fabric) addAddress(machine, cidr string) error {
	ns, err := enter(f.Path(machine))
	if err != nil {
		return err
	}
	defer ns.close()
	return ns.addTo("lo", cidr)
}

func TestNothingLeadsOutOfTheLab(t *testing.T) {
	f, topo := newLab(t, "small")
	host, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	_, port, _ := net.SplitHostPort(host.Addr().String())
	targets := []string{"127.0.0.1:" + port, "1.1.1.1:53", "8.8.8.8:443", "169.254.169.254:80"}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip, _, _ := net.ParseCIDR(a.String()); ip.To4() != nil {
			targets = append(targets, net.JoinHostPort(ip.String(), port))
		}
	}
	for _, m := range topo.Machines {
		for _, target := range targets {
			conn, err := f.Dial(within(t, 2*time.Second), m.Name, "tcp", target)
			if err == nil {
				conn.Close()
				t.Fatalf("%s reached %s", m.Name, target)
			}
			if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%s to %s: %v; want to be told at once that there is no way", m.Name, target, err)
			}
		}
		err := f.Do(m.Name, func() error {
			interfaces, err := net.Interfaces()
			if err == nil && len(interfaces) != 1+len(m.Ports) {
				t.Errorf("%s has interfaces %v", m.Name, interfaces)
			}
			for _, i := range interfaces {
				addrs, _ := i.Addrs()
				for _, a := range addrs {
					if strings.Contains(a.String(), ":") {
						t.Errorf("%s has IPv6 address %s", m.Name, a)
					}
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
