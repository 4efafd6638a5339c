package local

import (
	"path/filepath"
	"time"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/topology"
)

// UsersAuthority signs the certificates that users of this lab are shown. It is
// made at the first call and outlives the machines.
func (c *Cluster) UsersAuthority() (*edge.Authority, error) {
	c.authority.Lock()
	defer c.authority.Unlock()
	return edge.OpenAuthority(filepath.Join(c.StateDir, "pki"))
}

// usersCertificate is a new one for the name that users ask for over HTTPS.
func (c *Cluster) usersCertificate() (cert, key []byte, err error) {
	authority, err := c.UsersAuthority()
	if err != nil {
		return nil, nil, err
	}
	from := time.Now().Add(-edge.CertificateAge)
	return authority.Issue(topology.UserHost, from, from.Add(edge.CertificateLife))
}
