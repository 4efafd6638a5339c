package diagnosis

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"zdl/internal/incident/causal"
)

var known = []causal.Entity{"deployment/shop/cart", "users/shop", "disk/worker-1", "node/worker-1", "pod/shop/cart-7d9-x1"}

const good = `{"nodes": [
  {"id": "e", "layer": "effect", "entity": "users/shop", "state": "errors", "evidence": [{"probe": {"subject": "users", "of": "failed"}}]},
  {"id": "m", "layer": "mechanism", "entity": "deploy/shop/cart", "state": "image-pull-failing",
   "evidence": [{"event": {"reason": "Failed", "about": "pod/shop/cart-1"}}, {"query": "up{job=\"x\"} < 1"}]},
  {"id": "r", "layer": "root", "entity": "disk/worker-1", "state": "slow-disk"}],
 "edges": [{"from": "r", "to": "m"}, {"from": "m", "to": "e"}]}`

func TestADiagnosisIsReadAsItIsMeant(t *testing.T) {
	d, err := Read([]byte(good), known)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Nodes) != 3 || len(d.Edges) != 2 || d.Nodes[0].Entity != "deployment/shop/cart" || len(d.Nodes[0].Evidence) != 2 {
		t.Errorf("%+v", d)
	}
	again, err := Read(d.JSON(), known)
	if err != nil || !bytes.Equal(again.JSON(), d.JSON()) {
		t.Errorf("what was read is not read again: %v", err)
	}
	if d, err := Read([]byte(`{"healthy": true}`), known); err != nil || !d.Healthy {
		t.Errorf("%+v %v", d, err)
	}
}

func TestWhatCannotBeReadIsRefusedWithWhatIsAllowed(t *testing.T) {
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	for name, c := range map[string]struct{ text, says string }{
		"nothing":          {" \n", "there is nothing"},
		"no JSON":          {"{nodes}", "not JSON"},
		"more behind":      {good + "{}", "more behind"},
		"cut off":          {good[:60], "not JSON"},
		"a list":           {"[]", "must be an object"},
		"no UTF-8":         {"{\"healthy\": \"\xff\"}", "UTF-8"},
		"too large":        {`{"x": "` + strings.Repeat("a", MaxSize) + `"}`, "at most 65536"},
		"too deep":         {`{"nodes": ` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, "8 levels"},
		"too much":         {`{"nodes": [` + many(6000, "1") + `]}`, "5000 values"},
		"a field twice":    {`{"healthy": true, "healthy": false}`, "twice"},
		"unknown field":    {`{"healthy": true, "prose": "I think"}`, "there are healthy, nodes"},
		"other case":       {`{"Healthy": true}`, "no field"},
		"wrong type":       {`{"nodes": "all"}`, "cannot unmarshal"},
		"empty":            {`{}`, "healthy: true when nothing"},
		"healthy and not":  {strings.Replace(good, `{"nodes"`, `{"healthy": true, "nodes"`, 1), "can be no nodes"},
		"too many nodes":   {`{"nodes": [` + many(21, `{"id":"a"}`) + `]}`, "at most 20"},
		"too many edges":   {`{"nodes": [{"id":"a"}], "edges": [` + many(41, `{"from":"a","to":"b"}`) + `]}`, "at most 40"},
		"no id":            {strings.Replace(good, `"id": "r"`, `"id": ""`, 1), "want an id"},
		"id twice":         {strings.Replace(good, `"id": "r"`, `"id": "m"`, 1), "two nodes"},
		"no such entity":   {strings.Replace(good, "disk/worker-1", "disk/worker-9", 1), "there is no disk/worker-9 in this lab"},
		"nearly an entity": {strings.Replace(good, "deploy/shop/cart", "deploy/web/cart", 1), "did you mean deployment/shop/cart?"},
		"a pattern":        {strings.Replace(good, "deploy/shop/cart", "pod/shop/*", 1), "is no name"},
		"no such state":    {strings.Replace(good, "slow-disk", "broken", 1), "there is no state"},
		"state of others":  {strings.Replace(good, "slow-disk", "oom-killed", 1), "cannot be oom-killed; it can be slow-disk, full"},
		"layer":            {strings.Replace(good, `"root"`, `"cause"`, 1), "want effect, mechanism or root"},
		"edge to nowhere":  {strings.Replace(good, `"to": "e"`, `"to": "x"`, 1), "is no node"},
		"edge to itself":   {strings.Replace(good, `"to": "e"`, `"to": "m"`, 1), "itself"},
		"edge twice":       {strings.Replace(good, `"edges": [`, `"edges": [{"from": "m", "to": "e"}, `, 1), "twice"},
		"evidence of two":  {strings.Replace(good, `{"query"`, `{"object": "node/a", "query"`, 1), "exactly one"},
		"much evidence":    {strings.Replace(good, `"evidence": [{"probe"`, `"evidence": [`+many(5, `{"query": "up"}`)+`, {"probe"`, 1), "at most 5"},
		"control letters":  {strings.Replace(good, `"failed"}`, `"failed\u0000"}`, 1), "control characters"},
	} {
		d, err := Read([]byte(c.text), known)
		var refused *Refused
		if err == nil || !errors.As(err, &refused) {
			t.Errorf("%s: %+v %v", name, d, err)
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if len(err.Error()) > 2000 || strings.Contains(err.Error(), "diagnosis.") {
			t.Errorf("%s: %.300s", name, err)
		}
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	a, err := Read([]byte(good), known)
	if err != nil {
		t.Fatal(err)
	}
	turned := Diagnosis{}
	for i := range a.Nodes {
		turned.Nodes = append(turned.Nodes, a.Nodes[len(a.Nodes)-1-i])
	}
	for i := range a.Edges {
		turned.Edges = append(turned.Edges, a.Edges[len(a.Edges)-1-i])
	}
	b, err := Read(turned.JSON(), known)
	if err != nil || !bytes.Equal(a.JSON(), b.JSON()) {
		t.Errorf("%s\n%s %v", a.JSON(), b.JSON(), err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"healthy": true}`))
	f.Add([]byte(`{"nodes": [{"id":"a","layer":"root","entity":"node/worker-1","state":"not-ready"}]}`))
	f.Add([]byte(`{"a": [[[[{"b": {"c": [`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Read(data, known)
		if err != nil {
			var refused *Refused
			if !errors.As(err, &refused) || refused.Reason == "" {
				t.Errorf("%T %v", err, err)
			}
			return
		}
		if _, err := Read(d.JSON(), known); err != nil {
			t.Errorf("what was read is refused: %v\n%s", err, fmt.Sprintf("%s", d.JSON()))
		}
	})
}
