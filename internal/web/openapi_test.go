package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

type document struct {
	Paths map[string]map[string]struct {
		Owner       bool `yaml:"x-owner"`
		Director    bool `yaml:"x-director"`
		Socket      bool `yaml:"x-socket"`
		RequestBody struct {
			Content map[string]media `yaml:"content"`
		} `yaml:"requestBody"`
		Responses map[string]struct {
			Content map[string]media `yaml:"content"`
		} `yaml:"responses"`
	} `yaml:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]any `yaml:"properties"`
		} `yaml:"schemas"`
	} `yaml:"components"`
}

type media struct {
	Schema struct {
		Ref string `yaml:"$ref"`
	} `yaml:"schema"`
	Example  any `yaml:"example"`
	Examples map[string]struct {
		Value any `yaml:"value"`
	} `yaml:"examples"`
}

// documented are the Go types of the schemas whose fields are listed.
var documented = map[string]any{
	"Error": Error{}, "Status": Status{}, "HitRequest": HitRequest{}, "SessionReply": SessionReply{}, "NameRequest": NameRequest{}, "TargetRequest": TargetRequest{},
	"LevelRequest": LevelRequest{}, "PauseRequest": PauseRequest{}, "DefendRequest": DefendRequest{}, "AutopilotRequest": AutopilotRequest{}, "OwnerRequest": OwnerRequest{}, "TokenReply": TokenReply{}, "PowerRequest": PowerRequest{}, "PowerReply": PowerReply{}, "Database": cluster.Database{}, "DatabaseRequest": DatabaseRequest{}, "Shop": cluster.Shop{}, "ShopRequest": ShopRequest{},
	"Kind": fault.Kind{}, "Param": fault.Param{}, "Target": fault.Target{}, "Request": fault.Request{}, "Attack": fault.Attack{},
}

func init() {
	for name, v := range arenaTypes {
		documented[name] = v
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(openapi, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDocumentDescribesExactlyTheRoutes(t *testing.T) {
	l := newLab(t, 0)
	s := &server{Deps: l.deps, hub: newHub(l.deps), door: newDoor(l.deps.Access)}
	d := readDocument(t)
	var there, told []string
	for pattern := range s.routes() {
		there = append(there, pattern)
	}
	for path, methods := range d.Paths {
		for method := range methods {
			told = append(told, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(there)
	slices.Sort(told)
	if !slices.Equal(there, told) {
		t.Errorf("the routes are\n%s\nthe document has\n%s", strings.Join(there, "\n"), strings.Join(told, "\n"))
	}
}

func TestWhoMayDoWhatIsAsTheDocumentSays(t *testing.T) {
	l := newLab(t, 0)
	l.reopen(public())
	srv := l.serve(t)
	token := func(r *http.Request) { r.Header.Set("Authorization", "Bearer s3cret") }
	for path, methods := range readDocument(t).Paths {
		for method, op := range methods {
			url := srv.URL + strings.NewReplacer("{id}", "f1", "{name}", "x").Replace(path)
			if op.Owner || op.Director || op.Socket {
				if code, _ := ask(t, srv.Client(), strings.ToUpper(method), url, "{}", nil, nil); code != 403 {
					t.Errorf("%s %s is not for visitors, but one gets %d", method, path, code)
				}
			}
			if strings.HasSuffix(path, "/events") {
				continue // it has no end
			}
			if code, _ := ask(t, srv.Client(), strings.ToUpper(method), url, "{}", token, nil); op.Socket != (code == 403) {
				t.Errorf("%s %s: who shows the token gets %d", method, path, code)
			}
		}
	}
}

func TestTheDocumentHasExactlyTheFieldsOfTheTypes(t *testing.T) {
	d := readDocument(t)
	for name, v := range documented {
		var fields []string
		of := reflect.TypeOf(v)
		for i := range of.NumField() {
			tag, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if tag != "-" && tag != "" && tag != "stages" { // stages are the journal's
				fields = append(fields, tag)
			}
		}
		told := slices.Collect(maps.Keys(d.Components.Schemas[name].Properties))
		slices.Sort(fields)
		slices.Sort(told)
		if !slices.Equal(fields, told) {
			t.Errorf("%s has the fields %v, the document %v", name, fields, told)
		}
	}
}

func TestExamplesOfTheDocumentAreAccepted(t *testing.T) {
	tried := 0
	try := func(where string, m media) {
		name := strings.TrimPrefix(m.Schema.Ref, "#/components/schemas/")
		if m.Schema.Ref != "" && documented[name] == nil && name != "Snapshot" && name != "ProbeReply" {
			t.Errorf("%s refers to %s", where, m.Schema.Ref)
		}
		examples := []any{m.Example}
		for _, e := range m.Examples {
			examples = append(examples, e.Value)
		}
		for _, e := range examples {
			if e == nil {
				continue
			}
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(reflect.New(reflect.TypeOf(documented[name])).Interface()); err != nil {
				t.Errorf("%s: %s is no %s: %v", where, text, name, err)
			}
			tried++
		}
	}
	for path, methods := range readDocument(t).Paths {
		for method, op := range methods {
			where := fmt.Sprintf("%s %s", method, path)
			for _, m := range op.RequestBody.Content {
				try(where, m)
			}
			for _, r := range op.Responses {
				for _, m := range r.Content {
					try(where, m)
				}
			}
		}
	}
	if tried < 4 {
		t.Errorf("%d examples", tried)
	}
}
