package local

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// idleWrite is a transaction that has to be agreed upon by a majority, since one
// of its branches writes, and never writes: no key has a version below zero. The
// bytes are base64 (etcd's gRPC gateway): "zdl".
const idleWrite = `{"compare":[{"key":"emRs","target":"VERSION","result":"LESS","version":"0"}],"success":[{"requestPut":{"key":"emRs","value":"emRs"}}]}`

// EtcdWrite has the etcd member on a control plane agree upon a write with the
// others, and changes nothing. Its error is etcd's, or that of ctx.
func (c *Cluster) EtcdWrite(ctx context.Context, member string) error {
	m, err := c.machine(member)
	if err != nil {
		return err
	}
	pki := filepath.Join(c.layout.Kubernetes(member), "pki")
	pair, err := tls.LoadX509KeyPair(filepath.Join(pki, "apiserver-etcd-client.crt"), filepath.Join(pki, "apiserver-etcd-client.key"))
	if err != nil {
		return fmt.Errorf("read etcd's client certificate: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(pki, "etcd", "ca.crt"))
	if err != nil {
		return fmt.Errorf("read etcd's CA certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("etcd's CA certificate cannot be read")
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: m.Addr().String()},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return c.fabric.Dial(ctx, member, network, addr)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://%s:2379/v3/kv/txn", m.Addr()), strings.NewReader(idleWrite))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return err
}
