package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"zdl/internal/fault"
	"zdl/internal/topology"
	"zdl/test/harness"
)

// sharedMemory is what the control group of a machine holds in memory files, as
// the machine sees it, on cgroup v1 or v2.
func sharedMemory(t *testing.T, lab *harness.Lab, machine string) int64 {
	t.Helper()
	out := lab.Shell(t, machine, "/bin/sh", "-c", "cat /sys/fs/cgroup/memory/memory.stat 2>/dev/null || cat /sys/fs/cgroup/memory.stat")
	for _, name := range []string{"\ntotal_shmem ", "\nshmem "} { // v1 first: it has both
		if _, rest, ok := strings.Cut(out, name); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no shared memory in:\n%s", out)
	return 0
}

func TestProcessorMemoryAndProcessNumbers(t *testing.T) {
	runAll(t, []scenario{
		{
			kind: "node-cpu-stress", target: "worker-1", params: map[string]string{"workers": "1"},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				processes, err := lab.Processes("worker-1")
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range processes {
					if p.Name == "zdl-stress" {
						return
					}
				}
				t.Errorf("no stress in the machine's groups: %v", processes)
			},
		},
		{kind: "pod-cpu-stress", target: "any"},
		{
			kind: "node-memory-stress", target: "worker-1", params: map[string]string{"size": "300Mi"},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if n := sharedMemory(t, lab, "worker-1"); n < 270<<20 {
					t.Errorf("the machine holds %d MiB of shared memory, want 300", n>>20)
				}
			},
		},
		{
			kind: "pod-memory-stress", target: "any", // more than its limit
			effect: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
				namespace, pod, _ := strings.Cut(a.Targets[0].Name, "/")
				harness.Eventually(t, "the container was killed for memory", 30*time.Second, func(ctx context.Context) error {
					r := lab.TryKubectl(ctx, nil, "get", "pod", "-n", namespace, pod, "-o", "jsonpath={.status.containerStatuses[*].lastState.terminated.reason}")
					if !strings.Contains(r.Stdout, "OOMKilled") {
						return fmt.Errorf("it ended for %q before", r.Stdout)
					}
					return nil
				})
			},
		},
		{
			kind: "node-pid-exhaustion", target: "worker-2",
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if r := lab.TryShell(t.Context(), "worker-2", "/bin/sh", "-c", "sleep 0 & wait $!"); r.Code == 0 {
					t.Error("a shell could fork")
				}
			},
		},
		{kind: "node-pid-exhaustion", target: "worker-2", params: map[string]string{"leave": "20"}},
	})
}

func TestDisks(t *testing.T) {
	write := func(lab *harness.Lab, machine string) harness.Result {
		return lab.TryShell(t.Context(), machine, "/bin/sh", "-c", "head -c 65536 /dev/zero > /var/t-faults && sync -f /var/t-faults; s=$?; rm -f /var/t-faults; exit $s")
	}
	runAll(t, []scenario{
		{
			kind: "node-disk-fill", target: "worker-3",
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if r := write(lab, "worker-3"); r.Code == 0 {
					t.Error("64 KiB could be written to a full disk")
				}
			},
			after: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if r := write(lab, "worker-3"); r.Code != 0 {
					t.Errorf("the disk takes nothing: %s%s", r.Stdout, r.Stderr)
				}
			},
		},
		{
			kind: "node-disk-latency", target: "worker-3", params: map[string]string{"latency": "500ms"},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				begin := time.Now()
				if r := lab.TryShell(t.Context(), "worker-3", "/bin/dd", "if=/dev/zero", "of=/var/t-faults", "bs=4k", "count=3", "oflag=dsync"); r.Code != 0 {
					t.Error(r.Stderr)
				}
				if took := time.Since(begin); took < time.Second {
					t.Errorf("three synchronous writes took %v, want more than a second", took)
				}
				lab.Shell(t, "worker-3", "/bin/rm", "-f", "/var/t-faults")
			},
		},
		{
			kind: "node-disk-error", target: "worker-3", recover: 2 * time.Minute,
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if r := lab.TryShell(t.Context(), "worker-3", "/usr/bin/touch", "/var/t-faults"); r.Code == 0 {
					t.Error("a broken disk took a file")
				}
			},
		},
		{
			kind: "pod-disk-fill", params: map[string]string{"size": "64Mi"},
			pick: func(t *testing.T, lab *harness.Lab) string {
				lab.Namespace(t, "t-fill")
				lab.Apply(t, fmt.Sprintf(fillPod, lab.Image(t, "pause")))
				lab.WaitPods(t, "t-fill", "app=filler", 1, time.Minute)
				return "t-fill/filler"
			},
			effect: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
				out := lab.Shell(t, a.Targets[0].Node, "/usr/bin/find", "/var/lib/kubelet/pods", "-name", ".zdl-fill-"+a.ID, "-size", "+130000") // blocks of 512 bytes
				if !strings.Contains(out, "/data/") {
					t.Errorf("no file of 64 MiB in the volume: %q", out)
				}
			},
		},
	})
}

// fillPod has a read-only root and a volume.
const fillPod = `
apiVersion: v1
kind: Pod
metadata: {name: filler, namespace: t-fill, labels: {app: filler}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: %s
    imagePullPolicy: Never
    securityContext: {readOnlyRootFilesystem: true}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
`

func TestPodsThatCannotBeFilledSayWhatToDo(t *testing.T) {
	refused(t, healthy(t), "emptyDir", "attack", "pod-disk-fill", "any", "-p", "path=/not-there")
}

func TestEtcdDisksAndData(t *testing.T) {
	create := func(ctx context.Context, lab *harness.Lab) harness.Result {
		lab.TryKubectl(ctx, nil, "delete", "configmap", "t-faults", "--ignore-not-found")
		return lab.TryKubectl(ctx, nil, "create", "configmap", "t-faults")
	}
	runAll(t, []scenario{
		{
			kind: "etcd-slow-disk", target: "followers",
			effect: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
				if took := fsync(t, lab, a.Targets[0].Name); took < 50*time.Millisecond {
					t.Errorf("an fsync of etcd takes %v, want at least 50 ms", took)
				}
			},
		},
		{
			kind: "etcd-nospace", target: "any",
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if r := create(t.Context(), lab); !strings.Contains(r.Stderr, "database space exceeded") {
					t.Errorf("a write through the API: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
				}
			},
			after: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				harness.Eventually(t, "the API takes writes", 30*time.Second, func(ctx context.Context) error {
					if r := create(ctx, lab); r.Code != 0 {
						return fmt.Errorf("%s", r.Stderr)
					}
					return nil
				})
				lab.Kubectl(t, "delete", "configmap", "t-faults")
			},
		},
		{
			kind: "etcd-member-data-loss", target: "followers", recover: 2 * time.Minute,
			effect: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
				node := a.Targets[0].Name
				if err := lab.EtcdHasLeader(t.Context(), node); err == nil {
					t.Errorf("the member on %s serves without its data", node)
				}
				harness.Eventually(t, "the empty member is refused", 30*time.Second, func(ctx context.Context) error {
					r := lab.TryShell(ctx, node, "/bin/sh", "-c", "cat /var/log/pods/kube-system_etcd-*/etcd/*.log")
					if !strings.Contains(r.Stdout, "has already been bootstrapped") {
						return fmt.Errorf("its log says nothing of it")
					}
					return nil
				})
			},
			after: func(t *testing.T, lab *harness.Lab, a fault.Attack) {
				harness.Eventually(t, "the member serves again", time.Minute, func(ctx context.Context) error {
					return lab.EtcdHasLeader(ctx, a.Targets[0].Name)
				})
			},
		},
	})
}

// fsync is the mean time of the next few syncs of a member's log.
func fsync(t *testing.T, lab *harness.Lab, node string) time.Duration {
	t.Helper()
	read := func() (sum, count float64) {
		resp, err := lab.HTTP(node, 5*time.Second).Get("http://127.0.0.1:2381/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(body)) {
			fmt.Sscanf(line, "etcd_disk_wal_fsync_duration_seconds_sum %g", &sum)
			fmt.Sscanf(line, "etcd_disk_wal_fsync_duration_seconds_count %g", &count)
		}
		return sum, count
	}
	sum, count := read()
	mean := time.Duration(0)
	harness.Eventually(t, "etcd syncs its log", 30*time.Second, func(context.Context) error {
		s, n := read()
		if n < count+3 {
			return fmt.Errorf("%g times since", n-count)
		}
		mean = time.Duration((s - sum) / (n - count) * float64(time.Second))
		return nil
	})
	return mean
}

func TestCertificatesAndGrayServers(t *testing.T) {
	address := func(node string) string {
		return fmt.Sprintf("%s:%d", wiring().Machine(node).Addr(), topology.APIPort)
	}
	expires := func(t *testing.T, lab *harness.Lab, node string) *x509.Certificate {
		t.Helper()
		conn, err := lab.Dial(t.Context(), "outside", "tcp", address(node))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().PeerCertificates[0]
	}
	runAll(t, []scenario{
		{
			kind: "certificate-expired", target: "cp-2",
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				if cert := expires(t, lab, "cp-2"); cert.NotAfter.After(time.Now()) {
					t.Errorf("the API server's certificate is valid until %v", cert.NotAfter)
				}
			},
			after: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				harness.Eventually(t, "the API server shows its own certificate", 70*time.Second, func(context.Context) error {
					if cert := expires(t, lab, "cp-2"); cert.NotAfter.Before(time.Now()) {
						return fmt.Errorf("it expired %v", cert.NotAfter)
					}
					return nil
				})
			},
		},
		{kind: "certificate-expired", target: "worker-2", params: map[string]string{"which": "kubelet"}},
		{
			kind: "apiserver-one-of-three-gray", target: "cp-3", params: map[string]string{"share": "2%"},
			effect: func(t *testing.T, lab *harness.Lab, _ fault.Attack) {
				client := lab.HTTP("outside", 20*time.Second)
				client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
				begin := time.Now()
				for range 5 {
					resp, err := client.Get("https://" + address("cp-3") + "/livez")
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
				}
				if took := time.Since(begin) / 5; took < 20*time.Millisecond {
					t.Errorf("the gray API server answers in %v", took)
				}
			},
		},
	})
}
