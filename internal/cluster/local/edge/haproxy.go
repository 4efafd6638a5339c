package edge

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"

	"zdl/internal/labfile"
	"zdl/internal/topology"
)

//go:embed *.tmpl
var templates embed.FS

func render(name string, data any) ([]byte, error) {
	tmpl, err := template.ParseFS(templates, name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// HAProxy gives haproxy.cfg of a load balancer. Its checks and time-outs depend on
// the timing: on an emulated machine a TLS handshake a second is a tenth of a
// processor.
func HAProxy(t *topology.Topology, timing labfile.Timing, m *topology.Machine) ([]byte, error) {
	if m.Kind != topology.KindEdge {
		return nil, wrongKind(m)
	}
	apiServers := []peer{}
	for _, n := range t.Of(topology.KindControlPlane) {
		apiServers = append(apiServers, peer{n.Name, n.Addr().String(), topology.APIPort})
	}
	ingresses := []peer{}
	for _, n := range IngressNodes(t) {
		ingresses = append(ingresses, peer{n.Name, n.Addr().String(), topology.IngressPort})
	}
	return render("haproxy.cfg.tmpl", map[string]any{
		"Times": func(ms int) string { return span(ms * timing.Slowness()) },
		"Name":  m.Name, "Addr": m.Addr(), "StatsPort": StatsPort, "AdminSocket": AdminSocket,
		"UserVIP": topology.UserVIP, "APIVIP": topology.APIVIP, "APIPort": topology.APIPort,
		"APIServers": apiServers, "Databases": databases(t), "DatabasePort": topology.DatabasePort, "Ingresses": ingresses, "IngressTLSPort": topology.IngressTLSPort,
		"Errors": []struct {
			Status int
			Text   string
		}{
			{400, "this is no valid HTTP request"},
			{408, "the request did not arrive in time"},
			{500, "internal error"},
			{502, "the ingress broke off or answered nonsense"},
			{503, "no ingress node could be reached"},
			{504, "the ingress did not answer in time"},
		},
	})
}

// span is milliseconds as HAProxy reads them.
func span(ms int) string {
	if ms%1000 == 0 {
		return fmt.Sprintf("%ds", ms/1000)
	}
	return fmt.Sprintf("%dms", ms)
}

// IngressNodes lists the nodes that the users' virtual IP leads to: workers that
// anything may run on. Where every worker is tainted it is all workers, and
// without workers the control planes.
func IngressNodes(t *topology.Topology) []*topology.Machine {
	workers := t.Of(topology.KindWorker)
	var open []*topology.Machine
	for _, n := range workers {
		if !repels(n.Node.Taints) {
			open = append(open, n)
		}
	}
	switch {
	case len(open) > 0:
		return open
	case len(workers) > 0:
		return workers
	}
	return t.Of(topology.KindControlPlane)
}

func repels(taints []labfile.Taint) bool {
	for _, t := range taints {
		if t.Effect != "PreferNoSchedule" {
			return true
		}
	}
	return false
}
