package edge

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheAuthorityStaysTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	cert, key, err := again.Issue("web.zdl.test", now.Add(-CertificateAge), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web.zdl.test": "", "other.zdl.test": "is valid for web.zdl.test"} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: first.Pool(), DNSName: name})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("a client that asks for %s says %v, want %q", name, err, want)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: first.Pool(), CurrentTime: now.Add(2 * time.Hour)}); err == nil {
		t.Error("the certificate does not expire")
	}
}

// A boot that was interrupted between the two files begins anew.
func TestAnUnfinishedAuthorityIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, authorityKey), []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err != nil {
		t.Error("what was made cannot be read:", err)
	}
}

func TestADamagedAuthorityIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, authorityCert), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err == nil {
		t.Error("an authority without a key was opened")
	}
}
