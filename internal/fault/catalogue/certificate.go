package catalogue

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"zdl/internal/cluster"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// certificates lists the faults of certificates of the control plane.
func (c *catalogue) certificates() []fault.Kind {
	return []fault.Kind{{
		Name: "certificate-expired", Layer: fault.LayerControlPlane,
		Summary: "Replace a certificate by one of the same authority, key and names that has expired: the API server's own of a control plane, or the one by which a node's kubelet identifies itself (the kubelet is restarted).",
		Effect:  "apiserver: clients that check refuse every connection that reaches this API server (\"certificate has expired\"), while load balancers that only check health go on sending them there. kubelet: the API server answers 401, the node becomes NotReady after the grace period; its pods run on.",
		Targets: "node", TargetHelp: nodeHelp, Find: c.nodesWithoutAPI,
		Params: []fault.Param{
			{Name: "which", Type: fault.Choice, Choices: []string{"apiserver", "kubelet"}, Default: "apiserver", Help: "whose certificate"},
			{Name: "ago", Type: fault.Duration, Default: "24h", Min: "1s", Max: "87600h", Help: "how long ago it expired"},
		},
		Needs: []cluster.Capability{cluster.CapabilityDisk},
		Plan:  c.planCertificate,
	}}
}

func (c *catalogue) planCertificate(ctx context.Context, in fault.Input) (fault.Plan, error) {
	expired := time.Now().Add(-in.Values.Duration("ago")).Truncate(time.Second)
	var steps []fault.Step
	for _, t := range in.Targets {
		m := c.Local.Topology.Machine(t.Name)
		plan := c.planKubelet
		if in.Values.Text("which") == "apiserver" {
			if m.Kind != topology.KindControlPlane {
				return fault.Plan{}, fault.Refuse(t.Name+" has no API server.", "control-planes, or -p which=kubelet")
			}
			plan = c.planServing
		}
		step, err := plan(ctx, m, expired)
		if err != nil {
			return fault.Plan{}, err
		}
		steps = append(steps, step)
	}
	return fault.Together(steps...), nil
}

func (c *catalogue) planServing(ctx context.Context, m *topology.Machine, expired time.Time) (fault.Step, error) {
	const path = "/etc/kubernetes/pki/apiserver.crt"
	old, err := os.ReadFile(filepath.Join(c.Local.KubernetesDir(m.Name), "pki", "apiserver.crt"))
	if err != nil {
		return nil, err
	}
	data, err := c.outdate(old, expired)
	if err != nil {
		return nil, err
	}
	return c.NewServedCertificate(ctx, m.Name, path, data, fmt.Sprintf("%s:%d", m.Addr(), topology.APIPort), expired)
}

func (c *catalogue) planKubelet(ctx context.Context, m *topology.Machine, expired time.Time) (fault.Step, error) {
	config, err := clientcmd.LoadFromFile(filepath.Join(c.Local.KubernetesDir(m.Name), "kubelet.conf"))
	if err != nil {
		return nil, err
	}
	for _, user := range config.AuthInfos {
		if len(user.ClientCertificateData) == 0 {
			continue
		}
		if user.ClientCertificateData, err = c.outdate(user.ClientCertificateData, expired); err != nil {
			return nil, err
		}
		data, err := clientcmd.Write(*config)
		if err != nil {
			return nil, err
		}
		identity := append(append([]byte{}, user.ClientCertificateData...), user.ClientKeyData...)
		url := fmt.Sprintf("https://%s:%d/api/v1/nodes/%s", topology.APIVIP, topology.APIPort, m.Name)
		return c.NewClientCertificate(ctx, m.Name, "/etc/kubernetes/kubelet.conf", data, identity, url, "kubelet", expired)
	}
	return nil, fmt.Errorf("the kubelet.conf of %s holds no certificate", m.Name)
}

// outdate makes a certificate that differs from the first of a PEM file only in
// its serial number and in the time of its validity, which has passed. The
// cluster's authority signs it.
func (c *catalogue) outdate(data []byte, expired time.Time) ([]byte, error) {
	first, _ := pem.Decode(data)
	if first == nil {
		return nil, errors.New("no certificate in PEM form")
	}
	old, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, err
	}
	pki := filepath.Join(c.Local.KubernetesDir(c.Local.Topology.Nodes()[0].Name), "pki")
	authority, key, err := readAuthority(filepath.Join(pki, "ca.crt"), filepath.Join(pki, "ca.key"))
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	fresh := &x509.Certificate{
		SerialNumber: serial, Subject: old.Subject, DNSNames: old.DNSNames, IPAddresses: old.IPAddresses,
		NotBefore: expired.AddDate(-1, 0, 0), NotAfter: expired,
		KeyUsage: old.KeyUsage, ExtKeyUsage: old.ExtKeyUsage, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, fresh, authority, old.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func readAuthority(certFile, keyFile string) (*x509.Certificate, crypto.Signer, error) {
	var blocks [2]*pem.Block
	for i, file := range []string{certFile, keyFile} {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		if blocks[i], _ = pem.Decode(data); blocks[i] == nil {
			return nil, nil, fmt.Errorf("%s is not in PEM form", file)
		}
	}
	cert, err := x509.ParseCertificate(blocks[0].Bytes)
	if err != nil {
		return nil, nil, err
	}
	var key any
	switch blocks[1].Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(blocks[1].Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(blocks[1].Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(blocks[1].Bytes)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", keyFile, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s cannot sign", keyFile)
	}
	return cert, signer, nil
}
