// Package catalogue lists every kind of fault, layer by layer: what it strikes,
// what can be set, and of which steps it is made.
package catalogue

import (
	"zdl/internal/fault"
	"zdl/internal/fault/step"
)

// catalogue plans faults in one world.
type catalogue struct {
	*step.World
}

// Kinds is the whole catalogue, in the order of the layers. Kinds that cannot be
// used in this world say why.
func Kinds(w *step.World) []fault.Kind {
	c := &catalogue{w}
	var out []fault.Kind
	for _, kinds := range [][]fault.Kind{
		c.power(),
		c.shaping(),
		c.podProcesses(),
		c.nodeProcesses(),
		c.edgeProcesses(),
		c.controlPlaneProcesses(),
		c.packets(),
		c.links(),
		c.dns(),
		c.connections(),
		c.balancing(),
		c.drain(), c.objectLease(), c.webhook(), c.ingress(), c.ingressCertificate(),
		c.object(), c.objectConfig(), c.objectAccess(),
		c.resources(),
		c.certificates(),
		c.etcdData(),
		c.databases(),
		{fault.Compound()},
	} {
		out = append(out, kinds...)
	}
	for i := range out {
		k := &out[i]
		if k.Params == nil {
			k.Params = []fault.Param{}
		}
		if k.Unavailable == "" {
			k.Unavailable = fault.Able(k.Needs, w.Capabilities)
		}
	}
	return out
}
