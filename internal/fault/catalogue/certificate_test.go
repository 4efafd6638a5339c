package catalogue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"zdl/internal/artifact"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/labfile"
)

// withAuthority is a lab of which no machine runs, with an authority and an API
// server's certificate on cp-1.
func withAuthority(t *testing.T) (*catalogue, *x509.Certificate, *x509.Certificate) {
	t.Helper()
	lab, err := labfile.Profile("small")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &catalogue{&step.World{Local: local.New(local.Config{Name: "certificate-test", Lab: lab, Set: &artifact.Set{}, StateDir: dir, RunDir: filepath.Join(dir, "run")})}}
	pki := filepath.Join(c.Local.KubernetesDir("cp-1"), "pki")
	if err := os.MkdirAll(pki, 0o700); err != nil {
		t.Fatal(err)
	}
	sign := func(name string, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pki, name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	caKey, key := newKey(), newKey()
	der, err := x509.MarshalECPrivateKey(caKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pki, "ca.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	year := time.Now().AddDate(1, 0, 0)
	ca := sign("ca.crt", &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-9, 0, 0), NotAfter: year, KeyUsage: x509.KeyUsageCertSign,
	}, nil, caKey, caKey)
	good := sign("apiserver.crt", &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: []string{"kubernetes"}, IPAddresses: []net.IP{{198, 18, 1, 11}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: year, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key, caKey)
	return c, ca, good
}

func TestExpiredCertificateDiffersOnlyInItsTime(t *testing.T) {
	c, ca, good := withAuthority(t)
	path := filepath.Join(c.Local.KubernetesDir("cp-1"), "pki", "apiserver.crt")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.planCertificate(t.Context(), fault.Input{
		Targets: []fault.Target{{Type: "node", Name: "cp-1"}}, Values: fault.Values{"which": "apiserver", "ago": "1h"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := plan.Stages[0].Steps[0]
	if err := s.Inject(t.Context()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	bad, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if ago := time.Since(bad.NotAfter); ago < time.Hour || ago > time.Hour+time.Minute {
		t.Errorf("it expired %v ago, want an hour", ago)
	}
	if !reflect.DeepEqual(bad.PublicKey, good.PublicKey) || !reflect.DeepEqual(bad.DNSNames, good.DNSNames) || bad.Subject.String() != good.Subject.String() {
		t.Error("it is of another key or name")
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	if _, err := bad.Verify(x509.VerifyOptions{Roots: pool}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("a client says %v, want that it has expired", err)
	}
	if _, err := bad.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: bad.NotAfter.Add(-time.Minute)}); err != nil {
		t.Errorf("while it was valid a client said %v", err)
	}
	if err := s.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the undo left another certificate")
	}
}

func TestWorkerHasNoServerCertificate(t *testing.T) {
	c, _, _ := withAuthority(t)
	_, err := c.planCertificate(t.Context(), fault.Input{
		Targets: []fault.Target{{Type: "node", Name: "worker-1"}}, Values: fault.Values{"which": "apiserver", "ago": "1h"},
	})
	if err == nil || !strings.Contains(err.Error(), "which=kubelet") {
		t.Errorf("%v, want a hint to the kubelet's", err)
	}
}
