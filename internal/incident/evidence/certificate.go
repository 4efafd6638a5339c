package evidence

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"time"

	"zdl/internal/incident/causal"
	"zdl/internal/jsonpointer"
)

// What can be wrong with a certificate.
const (
	CertificateExpired = "expired"
	CertificateHost    = "wrong-host"
	CertificateIssuer  = "unknown-authority"
)

// Certificate is the certificate in a Secret of type kubernetes.io/tls, which is
// wrong in one way.
type Certificate struct {
	Secret causal.Entity
	Wrong  string
	Host   string // for which it is to be
	Issuer string // the common name of who is to have signed it
}

// certificateField is where a Secret keeps it.
const certificateField = "/data/tls.crt"

func (c *Certificate) check() error {
	switch {
	case c.Secret.Kind() != "secret":
		return fmt.Errorf("certificate: want secret: secret/NAMESPACE/NAME")
	case c.Wrong == CertificateExpired, c.Wrong == CertificateHost && c.Host != "", c.Wrong == CertificateIssuer && c.Issuer != "":
		return nil
	}
	return fmt.Errorf("certificate: want wrong: expired, wrong-host with host, or unknown-authority with issuer")
}

func (c *Certificate) tracks(o Observations, w Window) ([][]step, error) {
	versions, err := o.Versions(c.Secret, w)
	if err != nil {
		return nil, err
	}
	var steps []step
	for i := range versions {
		v := &versions[i]
		cert, err := certificateOf(v.Object)
		if err != nil {
			steps = append(steps, step{at: v.At, fact: fmt.Sprintf("%s: %v", v.Of, err), about: v.Of})
			continue
		}
		fact := fmt.Sprintf("%s holds a certificate for %v, until %s, signed by %q", v.Of, cert.DNSNames, cert.NotAfter.UTC().Format(time.DateTime), cert.Issuer.CommonName)
		s := step{at: v.At, fact: fact, about: v.Of}
		switch c.Wrong {
		case CertificateExpired:
			s.holds = cert.NotAfter.Before(v.At)
		case CertificateHost:
			s.holds = cert.VerifyHostname(c.Host) != nil
		case CertificateIssuer:
			s.holds = cert.Issuer.CommonName != c.Issuer
		}
		steps = append(steps, s)
		// It may expire while nobody changes it.
		replaced := i+1 < len(versions) && !versions[i+1].At.After(cert.NotAfter)
		if c.Wrong == CertificateExpired && !s.holds && w.Contains(cert.NotAfter) && !replaced {
			steps = append(steps, step{at: cert.NotAfter, holds: true, fact: fact, about: v.Of})
		}
	}
	return [][]step{steps}, nil
}

func certificateOf(secret any) (*x509.Certificate, error) {
	text, _ := jsonpointer.Find(secret, certificateField).(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("what it holds is not base64")
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("it holds no certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}
