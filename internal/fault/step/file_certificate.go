package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"zdl/internal/fault"
)

// Certificate replaces a certificate of a machine, as File does, and proves it by
// a TLS handshake.
type Certificate struct {
	File
	// Serves is the address, HOST:PORT, that shows the certificate; it loads the
	// file anew by itself. "" for one that a client shows.
	Serves string `json:"serves,omitempty"`
	// Shown is the API server's URL to which the certificate in the kubeconfig
	// Path is shown, by the service Restart, which reads it when it starts.
	Shown   string `json:"shown,omitempty"`
	Restart string `json:"restart,omitempty"`
	// Identity is the new certificate and key that Shown is asked with, PEM.
	Identity []byte    `json:"identity,omitempty"`
	Expired  time.Time `json:"expired"`
}

// NewServedCertificate plans to replace a certificate file of a server.
func (w *World) NewServedCertificate(ctx context.Context, node, path string, pem []byte, serves string, expired time.Time) (fault.Step, error) {
	f, err := w.NewFile(ctx, node, path, pem)
	if err != nil {
		return nil, err
	}
	return &Certificate{File: *f, Serves: serves, Expired: expired}, nil
}

// NewClientCertificate plans to replace a kubeconfig whose certificate and key are
// identity, and to restart the service that uses it.
func (w *World) NewClientCertificate(ctx context.Context, node, path string, kubeconfig, identity []byte, shown, service string, expired time.Time) (fault.Step, error) {
	f, err := w.NewFile(ctx, node, path, kubeconfig)
	if err != nil {
		return nil, err
	}
	return &Certificate{File: *f, Shown: shown, Restart: service, Identity: identity, Expired: expired}, nil
}

// Mechanism is "certificate".
func (c *Certificate) Mechanism() string { return "certificate" }

// Inject replaces the file, and lets its user read it.
func (c *Certificate) Inject(ctx context.Context) error {
	if err := c.File.Inject(ctx); err != nil || c.Restart == "" {
		return err
	}
	return c.w.restartService(ctx, c.Machine, c.Restart)
}

// Verify makes a handshake: as a client from outside, or as the client itself.
func (c *Certificate) Verify(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	text, err := c.File.Verify(ctx)
	if err != nil {
		return text, err
	}
	if c.Serves != "" {
		return c.verifyServed(ctx)
	}
	pair, err := tls.X509KeyPair(c.Identity, c.Identity)
	if err != nil {
		return "", err
	}
	client := c.w.oneRequest(c.Machine, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Shown, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		return "", fmt.Errorf("the API server answers %s to the certificate of %s", resp.Status, c.Machine)
	}
	return fmt.Sprintf("the API server answers %s to the client certificate of %s, which expired %s", resp.Status, c.Machine, c.Expired.Format(time.RFC3339)), nil
}

func (c *Certificate) verifyServed(ctx context.Context) (string, error) {
	conn, err := c.w.Local.Dial(ctx, "outside", "tcp", c.Serves)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// What is looked at is just what verification would refuse.
	t := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := t.HandshakeContext(ctx); err != nil {
		return "", err
	}
	leaf := t.ConnectionState().PeerCertificates[0]
	if !leaf.NotAfter.Before(time.Now()) {
		return "", fmt.Errorf("%s still shows a certificate that is valid until %s", c.Serves, leaf.NotAfter.Format(time.RFC3339))
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: x509.NewCertPool(), CurrentTime: time.Now()})
	return fmt.Sprintf("%s shows a certificate that expired %s: %v", c.Serves, leaf.NotAfter.Format(time.RFC3339), err), nil
}

// Undo puts the file back, and lets its user read it.
func (c *Certificate) Undo(ctx context.Context) error {
	if err := c.File.Undo(ctx); err != nil || c.Restart == "" {
		return err
	}
	return c.w.restartService(ctx, c.Machine, c.Restart)
}

// oneRequest is an HTTP client for one request from inside a machine.
func (w *World) oneRequest(machine string, config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: config,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return w.Local.Dial(ctx, machine, network, addr)
		},
	}}
}

// ask gets a URL from inside a machine; an answer other than 200 is an error. Whose
// certificate it is does not matter here.
func (w *World) ask(ctx context.Context, machine, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := w.oneRequest(machine, &tls.Config{InsecureSkipVerify: true}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.Join(err, errors.New(resp.Status))
	}
	return err
}
