package fault

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// ParamType is the type of a parameter's value.
type ParamType string

const (
	Duration ParamType = "duration" // 50ms, 1.5s, 2m
	Percent  ParamType = "percent"  // 12.5 or 12.5%; 0 to 100
	Integer  ParamType = "integer"
	Bytes    ParamType = "bytes" // 64Mi, 1Gi, 500k
	Rate     ParamType = "rate"  // bits a second: 10Mbit, 500kbit, 1Gbit
	Text     ParamType = "text"
	Choice   ParamType = "choice"
)

// Param describes one thing that can be set about a fault. Min, Max and Default
// are written as a user would.
type Param struct {
	Name    string    `json:"name"`
	Type    ParamType `json:"type"`
	Help    string    `json:"help"`
	Default string    `json:"default,omitempty"` // "" with Required false: not set
	Min     string    `json:"min,omitempty"`     // inclusive
	Max     string    `json:"max,omitempty"`     // inclusive
	Choices []string  `json:"choices,omitempty"`
	// Required parameters have no default and must be given.
	Required bool `json:"required,omitempty"`
}

// Values holds a checked value for each parameter of a kind that is set.
type Values map[string]string

// Duration is the value of a parameter of that type, 0 when it is not set.
func (v Values) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(v[name])
	return d
}

// Fraction is a percentage as 0 to 1.
func (v Values) Fraction(name string) float64 {
	n, _ := number(Percent, v[name])
	return n / 100
}

// Int is the value of an integer, of bytes or of a rate in bits a second.
func (v Values) Int(name string) int64 {
	for _, t := range []ParamType{Integer, Bytes, Rate} {
		if n, err := number(t, v[name]); err == nil {
			return int64(n)
		}
	}
	return 0
}

// Text is the value as it was given.
func (v Values) Text(name string) string { return v[name] }

// Bool is the value of a choice between true and false.
func (v Values) Bool(name string) bool { return v[name] == "true" }

// Flag is the parameter of a choice between true and false.
func Flag(name, help string, on bool) Param {
	return Param{Name: name, Type: Choice, Choices: []string{"true", "false"}, Default: strconv.FormatBool(on), Help: help}
}

// resolve checks given values against the kind's parameters and adds defaults.
func resolve(kind string, params []Param, given map[string]string) (Values, error) {
	out := Values{}
	for _, name := range sortedKeys(given) {
		if !slices.ContainsFunc(params, func(p Param) bool { return p.Name == name }) {
			return nil, refuse("The fault %s has no parameter %q.", kind, name).hint("%s", allowed(params))
		}
	}
	for _, p := range params {
		value, set := given[p.Name]
		if !set {
			value = p.Default
		}
		if value == "" {
			if p.Required {
				return nil, refuse("The fault %s needs the parameter %s: %s.", kind, p.Name, p.Help).hint("-p %s=%s", p.Name, p.example())
			}
			continue
		}
		if err := p.check(value); err != nil {
			return nil, refuse("%s=%s is not allowed: %s.", p.Name, value, err).hint("%s is %s; for example -p %s=%s", p.Name, p.Range(), p.Name, p.example())
		}
		out[p.Name] = value
	}
	return out, nil
}

// maxText bounds a text, in bytes.
const maxText = 1000

func (p *Param) check(value string) error {
	if p.Type == Text {
		if len(value) > maxText || strings.ContainsFunc(value, unicode.IsControl) {
			return fmt.Errorf("it is longer than %d bytes, or holds control characters", maxText)
		}
		return nil
	}
	if p.Type == Choice {
		if !slices.Contains(p.Choices, value) {
			return fmt.Errorf("it is none of %s", strings.Join(p.Choices, ", "))
		}
		return nil
	}
	n, err := number(p.Type, value)
	if err != nil {
		return err
	}
	if low, err := number(p.Type, p.Min); err == nil && n < low {
		return fmt.Errorf("it is below %s", p.Min)
	}
	if p.Min == "" && n < 0 && p.Type != Integer {
		return fmt.Errorf("it is below nothing")
	}
	if p.Type == Percent && n > 100 {
		return fmt.Errorf("it is above 100%%")
	}
	if high, err := number(p.Type, p.Max); err == nil && n > high {
		return fmt.Errorf("it is above %s", p.Max)
	}
	return nil
}

// Range says in words what is allowed.
func (p *Param) Range() string {
	switch {
	case p.Type == Choice:
		return "one of " + strings.Join(p.Choices, ", ")
	case p.Type == Text:
		return "text"
	case p.Min != "" && p.Max != "":
		return fmt.Sprintf("a %s from %s to %s", p.Type, p.Min, p.Max)
	case p.Min != "":
		return fmt.Sprintf("a %s of at least %s", p.Type, p.Min)
	case p.Max != "":
		return fmt.Sprintf("a %s of at most %s", p.Type, p.Max)
	}
	return "a " + string(p.Type)
}

func (p *Param) example() string {
	if p.Default != "" {
		return p.Default
	}
	switch p.Type {
	case Duration:
		return "50ms"
	case Percent:
		return "10%"
	case Integer:
		return "1"
	case Bytes:
		return "64Mi"
	case Rate:
		return "10Mbit"
	case Choice:
		return p.Choices[0]
	}
	return strings.ToUpper(p.Name)
}

func allowed(params []Param) string {
	if len(params) == 0 {
		return "It has none."
	}
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Name
	}
	return "It has " + strings.Join(names, ", ") + "."
}

// units of bytes are Kubernetes', those of rates tc's (tc(8), "UNITS").
var units = map[ParamType][]struct {
	suffix string
	factor float64
}{
	Bytes: {{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}},
	Rate:  {{"kbit", 1e3}, {"Mbit", 1e6}, {"mbit", 1e6}, {"Gbit", 1e9}, {"gbit", 1e9}, {"bit", 1}},
}

// number reads a value: durations in seconds, percentages as written, bytes, and
// rates in bits a second.
func number(t ParamType, value string) (float64, error) {
	switch t {
	case Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return 0, fmt.Errorf("it is no duration such as 50ms or 1.5s")
		}
		return d.Seconds(), nil
	case Percent:
		return plain(strings.TrimSuffix(value, "%"), "a percentage such as 10%")
	case Integer:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("it is no whole number")
		}
		return float64(n), nil
	case Bytes, Rate:
		example := map[ParamType]string{Bytes: "an amount such as 64Mi", Rate: "a rate such as 10Mbit"}[t]
		for _, u := range units[t] {
			if rest, ok := strings.CutSuffix(value, u.suffix); ok {
				n, err := plain(rest, example)
				return n * u.factor, err
			}
		}
		return 0, fmt.Errorf("it is not %s", example)
	}
	return 0, fmt.Errorf("it is no number")
}

func plain(s, example string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("it is not %s", example)
	}
	return n, nil
}
