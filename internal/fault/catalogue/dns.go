package catalogue

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/internal/cluster"
	"zdl/internal/dnsfault"
	"zdl/internal/fault"
	"zdl/internal/topology"
)

// dns lists the faults of the name service: of all answers of the cluster's name
// servers, or of the answers to one pod.
func (c *catalogue) dns() []fault.Kind {
	names := fault.Param{Name: "names", Type: fault.Text, Default: "*",
		Help: "which names, written in full: patterns such as *.web.svc.cluster.local, several with commas"}
	share := fault.Param{Name: "share", Type: fault.Percent, Default: "100%", Min: "1%", Max: "100%", Help: "how many of the questions about them"}
	needs := []cluster.Capability{cluster.CapabilityLink}
	server := func(k fault.Kind, mode dnsfault.Mode) fault.Kind {
		k.Layer, k.Needs = fault.LayerNameService, needs
		k.Params = append([]fault.Param{names, share}, k.Params...)
		k.Plan = func(ctx context.Context, in fault.Input) (fault.Plan, error) { return c.lieForServers(ctx, in, mode) }
		return k
	}
	return []fault.Kind{
		{
			Name: "pod-dns-error", Layer: fault.LayerPod,
			Summary: "A proxy in the pod's network answers its questions for names with an error.",
			Effect:  "Requests to other services fail before a connection is tried; what is connected goes on.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Needs: needs,
			Params: []fault.Param{names, share, {Name: "answer", Type: fault.Choice, Choices: []string{"servfail", "nxdomain", "refused", "timeout"}, Default: "servfail", Help: "what it is told"}},
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return c.lieToPods(ctx, in, dnsfault.Mode(in.Values.Text("answer")))
			},
		},
		{
			Name: "pod-dns-random", Layer: fault.LayerPod,
			Summary: "A proxy in the pod's network answers its questions for names with addresses where nobody is.",
			Effect:  "Requests to other services fail: no route to host; caches keep the wrong addresses for 5 s after the undo.",
			Targets: "pod", TargetHelp: podHelp, Find: c.pods, Needs: needs, Params: []fault.Param{names, share},
			Plan: func(ctx context.Context, in fault.Input) (fault.Plan, error) {
				return c.lieToPods(ctx, in, dnsfault.Random)
			},
		},
		server(fault.Kind{
			Name:    "dns-delay",
			Summary: "A proxy in front of every CoreDNS pod answers late.",
			Effect:  "Every request that needs a lookup is slower by the delay; above 5 s resolvers ask again or give up.",
			Params:  []fault.Param{{Name: "latency", Type: fault.Duration, Default: "200ms", Min: "1ms", Max: "10s", Help: "by how much"}},
		}, dnsfault.Delay),
		server(fault.Kind{
			Name:    "dns-nxdomain",
			Summary: "A proxy in front of every CoreDNS pod says that names do not exist.",
			Effect:  "Who looks names up fails at once, and may remember it.",
		}, dnsfault.NXDomain),
		server(fault.Kind{
			Name:    "dns-stale",
			Summary: "A proxy in front of every CoreDNS pod keeps giving the answers of the moment when it began.",
			Effect:  "Nothing, until Services or headless endpoints change: then clients go to addresses that are gone.",
		}, dnsfault.Stale),
	}
}

func (c *catalogue) lieToPods(ctx context.Context, in fault.Input, mode dnsfault.Mode) (fault.Plan, error) {
	config, ask, err := c.lie(ctx, in, mode)
	if err != nil {
		return fault.Plan{}, err
	}
	var plan fault.Plan
	for _, t := range in.Targets {
		if _, err := c.podAddr(t); err != nil {
			return plan, err
		}
		config.Server = netip.AddrPortFrom(topology.DNS, 53)
		config.Listen = netip.MustParseAddr("127.0.0.1")
		plan = withStep(plan, c.NewDNS(t.Name, t.UID, t.Node, config, ask))
	}
	return plan, nil
}

func (c *catalogue) lieForServers(ctx context.Context, in fault.Input, mode dnsfault.Mode) (fault.Plan, error) {
	servers, err := c.pods(ctx, "kube-system/app=coredns")
	if err == nil && len(servers) == 0 {
		servers, err = c.pods(ctx, "kube-system/app=kube-dns")
	}
	if err != nil {
		return fault.Plan{}, err
	}
	if len(servers) == 0 {
		return fault.Plan{}, fault.Refuse("No CoreDNS pod runs.", "heal what keeps it from running first")
	}
	config, ask, err := c.lie(ctx, in, mode)
	if err != nil {
		return fault.Plan{}, err
	}
	var plan fault.Plan
	for _, t := range servers {
		own, err := c.podAddr(t)
		if err != nil {
			return plan, err
		}
		config.Incoming, config.Listen = true, own
		config.Server = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 53)
		plan = withStep(plan, c.NewDNS(t.Name, t.UID, t.Node, config, ask))
	}
	plan.Patience = 2*config.Latency + 10*time.Second
	return plan, nil
}

// lie makes what the proxies of an attack have in common, and a name to try.
func (c *catalogue) lie(ctx context.Context, in fault.Input, mode dnsfault.Mode) (dnsfault.Config, string, error) {
	config := dnsfault.Config{Mode: mode, Names: in.Values.Text("names"), Share: in.Values.Fraction("share"),
		Latency: in.Values.Duration("latency"), Seed: in.Seed, Table: tableName(in)}
	if err := dnsfault.Check(config.Names); err != nil {
		return config, "", fault.Refuse(err.Error()+".", "names= takes patterns such as *.web.svc.cluster.local")
	}
	known, all := c.serviceNames(ctx)
	known = slices.DeleteFunc(known, func(name string) bool { return !dnsfault.Match(config.Names, name) })
	if len(known) == 0 {
		return config, "", fault.Refuse("No Service has a name that matches "+config.Names+", so nothing could prove it.",
			"names are written in full: web.web.svc.cluster.local")
	}
	if mode == dnsfault.Stale {
		config.Freeze = known
		if all {
			config.Services = serviceDomain
		}
	}
	return config, known[0], nil
}

// serviceDomain is where the names of Services end.
const serviceDomain = "svc.cluster.local"

// serviceNames lists the names of all Services, or when the API server does not
// answer, of those that every cluster has.
func (c *catalogue) serviceNames(ctx context.Context) (names []string, all bool) {
	const suffix = "." + serviceDomain
	out := []string{"kubernetes.default" + suffix, "kube-dns.kube-system" + suffix}
	client, err := c.Kube()
	if err != nil {
		return out, false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	list, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return out, false
	}
	for i := range list.Items {
		name := strings.ToLower(list.Items[i].Name + "." + list.Items[i].Namespace + suffix)
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, true
}
