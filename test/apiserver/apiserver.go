// Package apiserver gives tests a real Kubernetes API server with etcd below it
// and nothing else of a cluster: no controller changes what a test does.
package apiserver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"zdl/internal/artifact"
)

// Artifacts opens the set of artifacts that labs are made of, or skips.
func Artifacts(t testing.TB) *artifact.Set {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1: this starts the real etcd and kube-apiserver")
	}
	set, err := artifact.Open(artifact.DefaultCache())
	if err != nil {
		t.Skip(err)
	}
	return set
}

// Start starts etcd and kube-apiserver, from the directory bin, on loopback, and
// returns at once: the API server is not ready yet. They end with the test. The
// arguments are added to the API server's.
func Start(t testing.TB, bin string, args ...string) *rest.Config {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	saKey := write("sa.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	const token = "secret-of-this-test"
	tokens := write("tokens.csv", token+",admin,1,system:masters\n")

	ports := FreePorts(t, 3)
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	Run(t, filepath.Join(bin, "etcd"), "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--log-level=error",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	Run(t, append([]string{filepath.Join(bin, "kube-apiserver"),
		"--etcd-servers=" + etcd, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--cert-dir=" + filepath.Join(dir, "certs"), "--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=198.18.128.0/20", "--authorization-mode=Node,RBAC", "--token-auth-file=" + tokens,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-signing-key-file=" + saKey, "--service-account-key-file=" + saKey}, args...)...)
	return &rest.Config{
		Host: fmt.Sprintf("https://127.0.0.1:%d", ports[2]), BearerToken: token,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
}

// FreePorts are TCP ports of 127.0.0.1 that nobody listened on a moment ago.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// Run starts a program that ends with the test; the end of its output is shown
// if that failed.
func Run(t testing.TB, argv ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s, its last words:\n%s", argv[0], output.Bytes()[max(0, output.Len()-4096):])
		}
	})
}
