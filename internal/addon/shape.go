package addon

import (
	"errors"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// tolerationSeconds of the timing profile "fast".
const tolerationSeconds = 5

// shape is what the templates see: a lab in the numbers that matter to them.
type shape struct {
	Params
	APIHost       string // the API servers' virtual IP
	APIPort       int
	DNS           string // address of the Service kube-dns
	ClusterDomain string
	PodCIDR       string
	LabCIDR       string // every address of the lab
	IngressPort   int
	TLSPort       int    // where the ingress ends TLS
	UserHost      string // for which it does

	Replicas          int // of the target
	IngressReplicas   int
	DNSReplicas       int
	TolerationSeconds int
	Spread            spread
}

// Fast is for the templates: with that timing pods leave a lost node after seconds
// instead of the default 300 s.
func (s *shape) Fast() bool { return s.Lab.Timing == labfile.Fast }

// Times is for the templates: a number of seconds or milliseconds, ten times as
// many with the timing "patient".
func (s *shape) Times(n int) int { return n * s.Lab.Timing.Slowness() }

// spread is the failure domain over which replicas are spread by force: zones
// where there are several with room for them, single nodes otherwise.
type spread struct {
	Domain   string // "zone" or "node", for comments
	Key      string // the nodes' label
	Domains  int    // how many there are
	MaxSkew  int    // a domain's share of the target's replicas, rounded up
	HostsToo bool   // also prefer different nodes within a domain
}

func newShape(p Params) (*shape, error) {
	zones := map[string]bool{}
	workers, others := 0, 0 // nodes that take any pod, and control planes
	for _, m := range p.Topology.Nodes() {
		switch {
		case m.Kind == topology.KindControlPlane:
			others++
		case !reserved(m):
			workers++
			zones[m.Zone] = true
		}
	}
	if workers == 0 {
		return nil, errors.New("the lab has no worker without a NoSchedule or NoExecute taint: nothing can run the service web and its ingress controller")
	}
	s := &shape{
		Params:        p,
		APIHost:       topology.APIVIP.String(),
		APIPort:       topology.APIPort,
		DNS:           topology.DNS.String(),
		ClusterDomain: "cluster.local",
		PodCIDR:       topology.PodCIDR.String(),
		LabCIDR:       "198.18.0.0/15",
		IngressPort:   topology.IngressPort,
		TLSPort:       topology.IngressTLSPort,
		UserHost:      topology.UserHost,

		Replicas:          max(p.Lab.Replicas, 1),
		DNSReplicas:       min(2, workers+others),
		TolerationSeconds: tolerationSeconds,
	}
	s.Spread = spread{Domain: "node", Key: "kubernetes.io/hostname", Domains: workers}
	if len(zones) > 1 {
		s.Spread = spread{Domain: "zone", Key: "topology.kubernetes.io/zone", Domains: len(zones), HostsToo: workers > len(zones)}
	}
	s.Spread.MaxSkew = (s.Replicas + s.Spread.Domains - 1) / s.Spread.Domains
	s.IngressReplicas = min(2, s.Spread.Domains)
	return s, nil
}

// reserved tells whether a taint keeps ordinary pods off a node.
func reserved(m *topology.Machine) bool {
	if m.Node == nil {
		return false
	}
	for _, t := range m.Node.Taints {
		if t.Effect == "NoSchedule" || t.Effect == "NoExecute" {
			return true
		}
	}
	return false
}
