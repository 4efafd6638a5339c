package causal

import (
	"strings"
	"testing"
)

func TestEntitiesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]Entity{
		"deploy/shop/cart": "deployment/shop/cart", "Deployments/shop/cart": "deployment/shop/cart", "ingresses/shop/shop": "ingress/shop/shop",
		"hpa/shop/web": "horizontalpodautoscaler/shop/web", "node/worker-1": "node/worker-1", "storageclasses/local-path": "storageclass/local-path",
	} {
		if got, err := ParseEntity(text); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"": "there is no kind", "cart": "there is no kind", "deploy/cart": "NAMESPACE/NAME", "node/shop/x": "want node/NAME",
		"pod/shop/A_b": "is no name", "pod/shop/cart-*": "is no name", "pod/shop/" + strings.Repeat("a", 1000): "at most", "pod//x": "is no name",
	} {
		if got, err := ParseEntity(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q %v, want an error that says %q", text, got, err, says)
		}
	}
}

func TestPatternsMatchWithinNames(t *testing.T) {
	for _, c := range []struct {
		pattern, entity Entity
		want            bool
	}{
		{"pod/shop/cart-*", "pod/shop/cart-1a-x", true}, {"pod/shop/cart-*", "pod/web/cart-1", false}, {"pod/shop/*", "pod/shop/", true},
		{"pod/shop/a*b*c", "pod/shop/axbxc", true}, {"pod/shop/a*b*c", "pod/shop/axc", false}, {"node/worker-1", "node/worker-1", true},
		{"node/worker-1", "node/worker-12", false}, {"pod/*/cart", "node/cart", false},
	} {
		if got := c.pattern.Matches(c.entity); got != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.entity, got)
		}
	}
}

func TestEveryStateIsOfKindsThatThereAre(t *testing.T) {
	seen := map[State]bool{}
	for _, s := range States() {
		if seen[s.Name] || s.Means == "" || len(s.Of) == 0 {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
		for _, k := range s.Of {
			if _, is := kinds[k]; !is {
				t.Errorf("%s is of %s, which is no kind", s.Name, k)
			}
		}
	}
	if err := CheckState("node/worker-1", "oom-killed"); err == nil || !strings.Contains(err.Error(), "not-ready") {
		t.Errorf("what a node can be is not said: %v", err)
	}
}

func chain() *Graph {
	return &Graph{
		Nodes: []Node{
			{ID: "e", Layer: Effect, Entity: "users/shop", State: "errors"},
			{ID: "m", Layer: Mechanism, Entity: "deployment/shop/cart", State: "oom-killed", Optional: true},
			{ID: "r", Layer: Root, Entity: "disk/worker-1", State: "slow-disk"},
		},
		Edges: []Edge{{From: "r", To: "m"}, {From: "m", To: "e"}},
	}
}

func TestGraphsThatAreNoChainsAreRefused(t *testing.T) {
	if err := chain().Check(); err != nil {
		t.Fatal(err)
	}
	for says, spoil := range map[string]func(*Graph){
		"twice":         func(g *Graph) { g.Nodes[1].ID = "e" },
		"no such node":  func(g *Graph) { g.Edges[0].From = "x" },
		"a root has no": func(g *Graph) { g.Edges = append(g.Edges, Edge{From: "m", To: "r"}) },
		"nothing but":   func(g *Graph) { g.Edges = append(g.Edges, Edge{From: "e", To: "m"}) },
		"has no cause":  func(g *Graph) { g.Edges = g.Edges[1:] },
		"leads to nothing": func(g *Graph) {
			g.Nodes = append(g.Nodes, Node{ID: "n", Layer: Mechanism, Entity: "deployment/shop/cart", State: "evicted"})
			g.Edges = append(g.Edges, Edge{From: "r", To: "n"})
		},
		"cannot be":          func(g *Graph) { g.Nodes[0].State = "slow-disk" },
		"only a mechanism":   func(g *Graph) { g.Nodes[2].Optional = true },
		"is there twice":     func(g *Graph) { g.Edges = append(g.Edges, g.Edges[0]) },
		"want effect, mecha": func(g *Graph) { g.Nodes[0].Layer = "cause" },
		"in a circle": func(g *Graph) {
			g.Nodes = append(g.Nodes, Node{ID: "n", Layer: Mechanism, Entity: "deployment/shop/cart", State: "evicted"})
			g.Edges = append(g.Edges, Edge{From: "m", To: "n"}, Edge{From: "n", To: "m"})
		},
	} {
		g := chain()
		spoil(g)
		if err := g.Check(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error that says %q", err, says)
		}
	}
}

func TestWithoutANodeItsCausesLeadOn(t *testing.T) {
	g := chain().Without("m")
	if len(g.Nodes) != 2 || len(g.Edges) != 1 || g.Edges[0].From != "r" || g.Edges[0].To != "e" {
		t.Errorf("%+v", g)
	}
	if c := chain(); !c.Leads("r", "e") || c.Leads("e", "r") || c.Leads("r", "r") {
		t.Error("ways are not found")
	}
}

func FuzzParseEntity(f *testing.F) {
	f.Add("deploy/shop/cart")
	f.Add("node/../x")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEntity(text)
		if err != nil {
			return
		}
		if again, err := ParseEntity(string(e)); err != nil || again != e || !e.Matches(e) || e.IsPattern() {
			t.Errorf("%q became %q, which becomes %q %v", text, e, again, err)
		}
	})
}
