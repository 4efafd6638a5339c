package load

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"zdl/internal/yamlfile"
)

// Kind of a load file.
const Kind = "Load"

// file is a plan as it is written.
type file struct {
	APIVersion     string                    `yaml:"apiVersion"`
	Kind           string                    `yaml:"kind"`
	Title          string                    `yaml:"title"`
	Arrivals       *scheduleText             `yaml:"arrivals" doc:"Open loop: journeys begin at a rate, whatever became of those before."`
	Users          *scheduleText             `yaml:"users" doc:"Closed loop: so many users, each of whom waits for their answers."`
	Journeys       []journeyText             `yaml:"journeys" need:"y" schema:"{\"minItems\": 1}"`
	Thresholds     map[string][]thresholdAny `yaml:"thresholds" doc:"In k6's words, by metric: what must hold."`
	Timeout        yamlfile.Span             `yaml:"timeout" doc:"Of each request, 1ms to 10m; default 10s."`
	MaxUsers       int                       `yaml:"maxUsers" doc:"Journeys under way at once; one that is due beyond that is dropped." schema:"{\"minimum\": 0, \"maximum\": 100000}"`
	NewConnections bool                      `yaml:"newConnections" doc:"Open a connection for each request."`
	Seed           uint64                    `yaml:"seed" doc:"Of everything that is left to chance."`
}

// scheduleText is either a constant, {rate: 100, for: 30s}, or stages.
type scheduleText struct {
	Rate    *float64      `yaml:"rate" doc:"Of arrivals: journeys a second." schema:"{\"minimum\": 0, \"maximum\": 1000000}"`
	Count   *float64      `yaml:"count" doc:"Of users: how many." schema:"{\"minimum\": 0, \"maximum\": 100000}"`
	For     yamlfile.Span `yaml:"for"`
	Poisson bool          `yaml:"poisson" doc:"Arrivals by chance, as independent users make them."`
	Stages  []stageText   `yaml:"stages" doc:"One after the other, instead of one rate or count."`
}

type stageText struct {
	For  yamlfile.Span `yaml:"for"`
	From *float64      `yaml:"from" doc:"Default: where the stage before ended, first 0."`
	To   float64       `yaml:"to"`
}

type journeyText struct {
	Name   string     `yaml:"name"`
	Weight float64    `yaml:"weight" doc:"Share among journeys; default 1."`
	Steps  []stepText `yaml:"steps" need:"y" schema:"{\"minItems\": 1}"`
}

type stepText struct {
	Name    string            `yaml:"name"`
	Method  string            `yaml:"method"`
	URL     string            `yaml:"url" need:"y" doc:"http:// or https://, or a path of the service under test. {{NAME}} stands for what an earlier step took, {{iteration}} and {{random}} for numbers."`
	Headers map[string]string `yaml:"headers"`
	Body    string            `yaml:"body"`
	Expect  []checkText       `yaml:"expect" doc:"Without any, a status below 400."`
	Take    map[string]struct {
		JSON   string `yaml:"json"`
		Header string `yaml:"header"`
	} `yaml:"take" doc:"Keep a value of the answer under a name: at a JSON path (items.0.id), or of a header."`
	Think         think `yaml:"think" doc:"Pause after it: a time, or a range of which one is drawn."`
	NewConnection bool  `yaml:"newConnection" doc:"Open a connection for each of its requests."`
}

// think is a pause: 1s, or 500ms-2s.
type think string

// JSONSchema is how a pause is written.
func (think) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"type": "string", "pattern": "^[0-9.]+[a-zµ]+(-[0-9.]+[a-zµ]+)?$", "examples": []any{"1s", "500ms-2s"}}
}

type checkText struct {
	Status   any    `yaml:"status" doc:"200, or [200, 304]."`
	Contains string `yaml:"contains"`
	Header   string `yaml:"header"`
}

// thresholdAny is "p(99)<300" or {threshold: …, abortOnFail: true}, as in k6.
type thresholdAny struct {
	Threshold   string
	AbortOnFail bool
}

// JSONSchema is how a threshold is written.
func (thresholdAny) JSONSchema() yamlfile.Node {
	return yamlfile.Node{"anyOf": []any{
		yamlfile.Node{"type": "string"},
		yamlfile.Node{"type": "object", "additionalProperties": false, "required": []any{"threshold"}, "properties": yamlfile.Node{
			"threshold": yamlfile.Node{"type": "string"}, "abortOnFail": yamlfile.Node{"type": "boolean"},
		}},
	}, "examples": []any{"p(99)<300", "rate<0.001"}}
}

func (t *thresholdAny) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Decode(&t.Threshold)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		var err error
		switch key := n.Content[i].Value; key {
		case "threshold":
			err = n.Content[i+1].Decode(&t.Threshold)
		case "abortOnFail":
			err = n.Content[i+1].Decode(&t.AbortOnFail)
		default:
			err = fmt.Errorf("line %d: field %s not found: a threshold has threshold and abortOnFail", n.Content[i].Line, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Read reads a load file. Errors name the line. base, if not "", stands before
// URLs that begin with a slash: so a file works against any place.
func Read(data []byte, name, base string) (*Plan, error) {
	p, err := read(data, base)
	if err != nil {
		return nil, yamlfile.Explain(name, err)
	}
	return p, nil
}

func read(data []byte, base string) (*Plan, error) {
	var f file
	if err := yamlfile.Decode(data, &f); err != nil {
		return nil, err
	}
	if err := yamlfile.CheckHead(f.APIVersion, f.Kind, Kind); err != nil {
		return nil, err
	}
	p := &Plan{Title: f.Title, Timeout: time.Duration(f.Timeout), MaxUsers: f.MaxUsers, NewConnections: f.NewConnections, Seed: f.Seed}
	var err error
	if f.Arrivals != nil {
		if f.Arrivals.Count != nil {
			return nil, errors.New("arrivals: have a rate (a second), not a count")
		}
		if p.Open, err = f.Arrivals.schedule(f.Arrivals.Rate, f.Seed); err != nil {
			return nil, fmt.Errorf("arrivals: %w", err)
		}
	}
	if f.Users != nil {
		if f.Users.Rate != nil || f.Users.Poisson {
			return nil, errors.New("users: have a count, not a rate")
		}
		if p.Closed, err = f.Users.schedule(f.Users.Count, f.Seed); err != nil {
			return nil, fmt.Errorf("users: %w", err)
		}
	}
	for _, j := range f.Journeys {
		out := Journey{Name: j.Name, Weight: j.Weight}
		for _, s := range j.Steps {
			step, err := s.step(base)
			if err != nil {
				return nil, err
			}
			out.Steps = append(out.Steps, step)
		}
		p.Journeys = append(p.Journeys, out)
	}
	for metric, list := range f.Thresholds {
		for _, text := range list {
			t, err := ParseThreshold(metric, text.Threshold)
			if err != nil {
				return nil, err
			}
			t.AbortOnFail = text.AbortOnFail
			p.Thresholds = append(p.Thresholds, t)
		}
	}
	sortThresholds(p.Thresholds)
	return p, p.Check()
}

func (s *scheduleText) schedule(constant *float64, seed uint64) (Schedule, error) {
	out := Schedule{Poisson: s.Poisson, Seed: seed}
	if (constant != nil) == (len(s.Stages) > 0) {
		return out, errors.New("want either one value with for, or stages")
	}
	if constant != nil {
		out.Stages = []Stage{{time.Duration(s.For), *constant, *constant}}
		return out, out.Check()
	}
	last := 0.0
	for _, st := range s.Stages {
		from := last
		if st.From != nil {
			from = *st.From
		}
		out.Stages = append(out.Stages, Stage{time.Duration(st.For), from, st.To})
		last = st.To
	}
	return out, out.Check()
}

func (s *stepText) step(base string) (Step, error) {
	out := Step{Name: s.Name, Method: s.Method, URL: s.URL, Body: s.Body, NewConnection: s.NewConnection}
	if strings.HasPrefix(out.URL, "/") {
		if base == "" {
			return out, fmt.Errorf("url %q says no host, and none was given: name one with --base http://HOST", s.URL)
		}
		out.URL = strings.TrimSuffix(base, "/") + out.URL
	}
	for name, value := range s.Headers {
		if out.Headers == nil {
			out.Headers = http.Header{}
		}
		out.Headers.Set(name, value)
	}
	for _, c := range s.Expect {
		check := Check{Contains: c.Contains, Header: c.Header}
		switch v := c.Status.(type) {
		case nil:
		case int:
			check.Status = []int{v}
		case []any:
			for _, one := range v {
				n, ok := one.(int)
				if !ok {
					return out, fmt.Errorf("step %q: status %v is not a number", s.Name, one)
				}
				check.Status = append(check.Status, n)
			}
		default:
			return out, fmt.Errorf("step %q: status %v is not a number", s.Name, v)
		}
		out.Checks = append(out.Checks, check)
	}
	for name, t := range s.Take {
		out.Take = append(out.Take, Take{name, t.JSON, t.Header})
	}
	var err error
	out.Think, err = parseThink(string(s.Think))
	return out, err
}

func parseThink(text string) (Think, error) {
	if text == "" {
		return Think{}, nil
	}
	low, high, ok := strings.Cut(text, "-")
	if !ok {
		high = low
	}
	least, err1 := time.ParseDuration(low)
	most, err2 := time.ParseDuration(high)
	if err1 != nil || err2 != nil {
		return Think{}, fmt.Errorf("think %s: want 1s, or 500ms-2s", strconv.Quote(text))
	}
	return Think{least, most}, nil
}

// SchemaID names the published schema of load files.
const SchemaID = "https://zero-downtime-lab.dev/schema/load.json"

// Schema is the JSON Schema of load files.
func Schema() yamlfile.Node {
	return yamlfile.Schema("A load of Zero Downtime Lab", SchemaID, Kind, file{})
}
