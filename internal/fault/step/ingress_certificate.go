package step

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/fault"
)

// IngressCertificate replaces the certificate and key in the Secret of an
// Ingress, as a renewal does that went wrong, and proves it by TLS handshakes on
// the users' way. To undo, it renews once more, rightly: an ingress controller
// goes over to a certificate of a later notBefore only, so that the one from
// before would not be taken.
type IngressCertificate struct {
	Patch            // of the Secret
	Host      string `json:"host"`  // that users ask for
	Entry     string `json:"entry"` // HOST:PORT where users come in
	Ingresses []Spot `json:"ingresses"`
	// Roots is the authority that clients trust, PEM.
	Roots   []byte  `json:"roots"`
	Bad     KeyPair `json:"bad"`
	Renewed KeyPair `json:"renewed"`
}

// Spot is an address with the name of the machine it is on.
type Spot struct {
	Machine string `json:"machine"`
	Address string `json:"address"` // HOST:PORT
}

// KeyPair is a certificate and its key, PEM.
type KeyPair struct {
	Cert []byte `json:"cert"`
	Key  []byte `json:"key"`
}

// The parts of a Secret of type kubernetes.io/tls, as JSON pointers.
const (
	secretCert = "/data/tls.crt"
	secretKey  = "/data/tls.key"
)

// servedPatience is how long ingresses may take to go over to a certificate;
// they look once a second.
const servedPatience = 5 * time.Second

// NewIngressCertificate plans to put a bad certificate into a Secret. Where the
// key is not of the certificate no ingress can use it.
func (w *World) NewIngressCertificate(ctx context.Context, secret Ref, c IngressCertificate) (fault.Step, error) {
	key := Set(secretKey, c.Bad.Key) // JSON's form of bytes is that of Secrets: base64
	key.Secret = true
	p, err := w.NewPatch(ctx, secret, nil, Set(secretCert, c.Bad.Cert), key)
	if err != nil {
		return nil, err
	}
	c.Patch = *p
	o, err := w.Object(ctx, secret)
	if err != nil {
		return nil, err
	}
	if is := c.condition(o); is != validCertificate {
		return nil, fault.Refuse(fmt.Sprintf("The certificate for %s in the %s is bad already: %s.", c.Host, secret, is), "put a good one of the lab's authority there first")
	}
	return &c, nil
}

// Mechanism is "ingress-certificate".
func (c *IngressCertificate) Mechanism() string { return "ingress-certificate" }

// Verify reads the Secret, and makes handshakes with the users' entry and with
// each ingress that answers.
func (c *IngressCertificate) Verify(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	o, err := c.w.Object(ctx, c.Ref)
	if err != nil {
		return "", err
	}
	if o == nil || !bytes.Equal(secretBytes(o, secretCert), c.Bad.Cert) {
		return "", fmt.Errorf("%s does not hold the bad certificate", c.Ref)
	}
	if _, err := tls.X509KeyPair(c.Bad.Cert, c.Bad.Key); err != nil {
		return fmt.Sprintf("the key in the %s is not of its certificate (%v): ingresses keep the one they have until they are started anew", c.Ref, err), nil
	}
	why, err := c.refused(ctx, c.Entry)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Entry, err)
	}
	var on []string
	for _, i := range c.Ingresses {
		_, err := c.refused(ctx, i.Address)
		if errors.Is(err, errNobody) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("the ingress on %s: %w", i.Machine, err)
		}
		on = append(on, i.Machine)
	}
	return fmt.Sprintf("%s shows a certificate for which clients hang up: %v; so do the ingresses on %s", c.Entry, why, strings.Join(on, ", ")), nil
}

// refused wants an address to show the bad certificate, and says why a client
// does not take it.
func (c *IngressCertificate) refused(ctx context.Context, address string) (why, err error) {
	leaf, err := c.shown(ctx, address)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(c.Bad.Cert); block == nil || !bytes.Equal(block.Bytes, leaf.Raw) {
		return nil, fmt.Errorf("it still shows a certificate of %s", leaf.NotBefore.Format(time.RFC3339))
	}
	if why = c.judge(leaf); why == nil {
		return nil, errors.New("clients take the certificate")
	}
	return why, nil
}

// errNobody: no connection came about, or it stayed silent.
var errNobody = errors.New("nobody answers")

// shown is the certificate that an address shows to who asks for the host.
func (c *IngressCertificate) shown(ctx context.Context, address string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := c.w.Local.Dial(ctx, "outside", "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNobody, err)
	}
	defer conn.Close()
	// What is looked at is just what verification would refuse.
	t := tls.Client(conn, &tls.Config{ServerName: c.Host, InsecureSkipVerify: true})
	err = t.HandshakeContext(ctx)
	if ctx.Err() != nil { // it hangs, and the load balancers are about to notice
		return nil, fmt.Errorf("%w: %v", errNobody, err)
	}
	if err != nil {
		return nil, fmt.Errorf("handshake for %s: %w", c.Host, err)
	}
	return t.ConnectionState().PeerCertificates[0], nil
}

// judge says as a client would why a certificate is not to be trusted.
func (c *IngressCertificate) judge(leaf *x509.Certificate) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.Roots)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: c.Host})
	return err
}

// Undo renews the certificate, unless somebody else has replaced it meanwhile,
// and returns when no ingress is left without it.
func (c *IngressCertificate) Undo(ctx context.Context) error {
	back := c.Patch
	back.Fields = slices.Clone(c.Fields)
	for i := range back.Fields {
		f := &back.Fields[i]
		f.Old = encode(map[string][]byte{secretCert: c.Renewed.Cert, secretKey: c.Renewed.Key}[f.Path])
	}
	if err := back.Undo(ctx); err != nil {
		return err
	}
	o, err := c.w.Object(ctx, c.Ref)
	if err != nil || o == nil || !bytes.Equal(secretBytes(o, secretCert), c.Renewed.Cert) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, servedPatience)
	defer cancel()
	left := map[string]string{}
	for _, i := range c.Ingresses {
		left[i.Machine] = i.Address
	}
	for {
		maps.DeleteFunc(left, func(_, address string) bool {
			leaf, err := c.shown(ctx, address)
			// One that does not answer reads the Secret when it starts.
			return ctx.Err() == nil && (errors.Is(err, errNobody) || err == nil && c.judge(leaf) == nil)
		})
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ingresses have not gone over to the renewed certificate within %v, on %s", servedPatience, strings.Join(slices.Sorted(maps.Keys(left)), ", "))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// validCertificate is the condition of a Secret that clients can be served with.
const validCertificate = "a valid certificate of the lab's authority, with its key"

// State says what the Secret is good for. It does not hold the same bytes again
// after a renewal.
func (c *IngressCertificate) State(ctx context.Context) (map[string]string, error) {
	o, err := c.w.Object(ctx, c.Ref)
	if err != nil {
		return nil, err
	}
	return map[string]string{fmt.Sprintf("what the %s holds for %s", c.Ref, c.Host): c.condition(o)}, nil
}

func (c *IngressCertificate) condition(o *unstructured.Unstructured) string {
	if o == nil {
		return "nothing: it is gone"
	}
	pair, err := tls.X509KeyPair(secretBytes(o, secretCert), secretBytes(o, secretKey))
	if err != nil {
		return err.Error()
	}
	if err := c.judge(pair.Leaf); err != nil {
		return err.Error()
	}
	return validCertificate
}

// secretBytes is one value of a Secret; nil when there is none.
func secretBytes(o *unstructured.Unstructured, pointer string) []byte {
	var text string
	if json.Unmarshal(lookup(o.Object, pointer), &text) != nil {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return data
}
