package catalogue

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"zdl/internal/cluster/local/edge"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/topology"
)

// Ways in which the renewal of a certificate goes wrong.
const (
	renewedExpired   = "expired"
	renewedOtherHost = "wrong-host"
	renewedStranger  = "unknown-authority"
	renewedOtherKey  = "key-mismatch"
)

// ingressCertificate lists the faults of the certificates that users are shown.
func (c *catalogue) ingressCertificate() []fault.Kind {
	alone := ""
	if c.Local == nil {
		alone = "only of the lab's own ingress it is known how it ends TLS, and which authority its users trust"
	}
	return []fault.Kind{{
		Name: "ingress-certificate-expired", Layer: fault.LayerEdge, Needs: needsAPI, Unavailable: alone,
		Summary: "Renew the certificate in the Secret of an Ingress wrongly: it has expired, is for another host, of an authority that nobody knows, or not of its key. The undo renews it rightly.",
		Effect:  "Users who come by HTTPS hang up, those by HTTP are served, and no pod and no health check notices (zdl probe --https does). A key that does not match is noticed only when an ingress is started anew: then it has no certificate at all.",
		Targets: "ingress", TargetHelp: objectHelp(ingresses), DefaultTarget: targetName,
		Params: []fault.Param{
			{Name: "mode", Type: fault.Choice, Choices: []string{renewedExpired, renewedOtherHost, renewedStranger, renewedOtherKey}, Default: renewedExpired, Help: "what is wrong with the new certificate"},
			{Name: "ago", Type: fault.Duration, Default: "1m", Min: "1s", Max: "24h", Help: "how long ago it expired; of mode expired"},
		},
		Find: c.objects(ingresses),
		Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
			var steps []fault.Step
			for _, t := range in.Targets {
				of, err := c.renewals(ctx, refOf(t, ingresses), in.Values)
				if err != nil {
					return fault.Plan{}, err
				}
				steps = append(steps, of...)
			}
			return fault.Together(steps...), nil
		},
	}}
}

// renewals are the steps for each certificate of an Ingress.
func (c *catalogue) renewals(ctx context.Context, r step.Ref, v fault.Values) ([]fault.Step, error) {
	o, err := c.Object(ctx, r)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fault.Refuse(fmt.Sprintf("There is no %s.", r), "kubectl get ingresses shows what there is")
	}
	var out []fault.Step
	entries, _, _ := unstructured.NestedSlice(o.Object, "spec", "tls")
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		hosts, _, _ := unstructured.NestedStringSlice(entry, "hosts")
		name, _, _ := unstructured.NestedString(entry, "secretName")
		if len(hosts) == 0 || name == "" {
			continue
		}
		s, err := c.renewal(ctx, secrets.In(r.Namespace, name), hosts[0], v)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fault.Refuse(fmt.Sprintf("The %s has no certificate: users reach it by HTTP only.", r), "choose one with spec.tls; a lab of an older zdl has none until it is made anew")
	}
	return out, nil
}

func (c *catalogue) renewal(ctx context.Context, secret step.Ref, host string, v fault.Values) (fault.Step, error) {
	authority, err := c.Local.UsersAuthority()
	if err != nil {
		return nil, err
	}
	before, err := c.issued(ctx, secret)
	if err != nil {
		return nil, err
	}
	plan := step.IngressCertificate{Host: host, Roots: authority.PEM, Entry: fmt.Sprintf("%s:443", topology.UserVIP)}
	for _, n := range edge.IngressNodes(c.Local.Topology) {
		plan.Ingresses = append(plan.Ingresses, step.Spot{Machine: n.Name, Address: fmt.Sprintf("%s:%d", n.Addr(), topology.IngressTLSPort)})
	}
	// Each is a second later than the one before it, which is what makes ingresses
	// take it.
	from := before.Add(time.Second)
	if plan.Bad, err = wrongly(authority, v, host, from); err != nil {
		return nil, err
	}
	from = from.Add(time.Second)
	if plan.Renewed.Cert, plan.Renewed.Key, err = authority.Issue(host, from, time.Now().Add(edge.CertificateLife)); err != nil {
		return nil, err
	}
	return c.NewIngressCertificate(ctx, secret, plan)
}

// issued is the notBefore of the certificate in a Secret.
func (c *catalogue) issued(ctx context.Context, secret step.Ref) (time.Time, error) {
	o, err := c.Object(ctx, secret)
	if err != nil {
		return time.Time{}, err
	}
	if o == nil {
		return time.Time{}, fault.Refuse(fmt.Sprintf("There is no %s.", secret), "the Ingress names one that does not exist")
	}
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	cert, _ := base64.StdEncoding.DecodeString(data["tls.crt"])
	key, _ := base64.StdEncoding.DecodeString(data["tls.key"])
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return time.Time{}, fault.Refuse(fmt.Sprintf("The %s holds no certificate with its key: %v.", secret, err), "put a good one there first")
	}
	return pair.Leaf.NotBefore, nil
}

// wrongly renews a certificate as one should not.
func wrongly(authority *edge.Authority, v fault.Values, host string, from time.Time) (pair step.KeyPair, err error) {
	until := time.Now().Add(edge.CertificateLife)
	switch v.Text("mode") {
	case renewedExpired:
		until = time.Now().Add(-v.Duration("ago"))
		if !until.After(from) {
			return pair, fault.Refuse(fmt.Sprintf("A certificate of after %s cannot have expired %v ago.", from.Format(time.DateTime), v.Duration("ago")), "choose a shorter -p ago=")
		}
	case renewedOtherHost:
		host = "other." + host
	case renewedStranger:
		if authority, err = edge.NewAuthority("somebody"); err != nil {
			return pair, err
		}
	}
	if pair.Cert, pair.Key, err = authority.Issue(host, from, until); err != nil || v.Text("mode") != renewedOtherKey {
		return pair, err
	}
	_, pair.Key, err = authority.Issue(host, from, until)
	return pair, err
}
