package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// asked is what became of a request over TLS for a name, to an address; with
// reuse of the second of two.
func asked(t *testing.T, url, name string, roots *x509.CertPool, patience time.Duration, reuse bool) Result {
	t.Helper()
	c := Config{URL: url, Host: name, Reuse: reuse, TLS: &tls.Config{ServerName: name, RootCAs: roots}}
	if err := c.defaults(); err != nil {
		t.Fatal(err)
	}
	q, err := newRequest(&c)
	if err != nil {
		t.Fatal(err)
	}
	subject := newHTTP1(&c, q)
	defer subject.Close()
	r := subject.Ask(t.Context(), time.Now().Add(patience))
	if reuse {
		if r = subject.Ask(t.Context(), time.Now().Add(patience)); !r.Connected.IsZero() {
			t.Error("the connection was not used again")
		}
	}
	return r
}

const long = 30 * time.Second

func TestACertificateThatDoesNotHoldIsAWrongAnswer(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "example.com" || r.TLS == nil {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	for _, reuse := range []bool{false, true} {
		if s := asked(t, srv.URL, "example.com", roots, long, reuse); s.Class != OK {
			t.Errorf("reused %v: a certificate that holds: %+v", reuse, s)
		}
	}
	if s := asked(t, srv.URL, "web.zdl.test", roots, long, false); s.Class != Wrong || !strings.Contains(fmt.Sprint(s.Err), "not web.zdl.test") {
		t.Errorf("a certificate for another name: %+v", s)
	}
	if s := asked(t, srv.URL, "example.com", x509.NewCertPool(), long, false); s.Class != Wrong || !strings.Contains(fmt.Sprint(s.Err), "unknown authority") {
		t.Errorf("a certificate of an unknown authority: %+v", s)
	}
}

func TestAServerWithoutACertificateIsAWrongAnswer(t *testing.T) {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, errors.New("none")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}()
	if s := asked(t, "https://"+l.Addr().String()+"/", "web.zdl.test", nil, long, false); s.Class != Wrong {
		t.Errorf("%+v", s)
	}
}

func TestAServerThatShowsNoCertificateInTimeHasNotAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s := asked(t, "https://"+l.Addr().String()+"/", "web.zdl.test", nil, 50*time.Millisecond, false); s.Class != Timeout {
		t.Errorf("%+v", s)
	}
}

func TestTLSBelongsToHTTPSAddresses(t *testing.T) {
	for _, c := range []Config{{URL: "https://127.0.0.1/"}, {URL: "http://127.0.0.1/", TLS: &tls.Config{}}, {URL: "https://127.0.0.1/", TLS: &tls.Config{}, HTTP2: true}} {
		if _, err := New(c); err == nil {
			t.Errorf("%s with TLS %v and HTTP/2 %v was accepted", c.URL, c.TLS != nil, c.HTTP2)
		}
	}
}
