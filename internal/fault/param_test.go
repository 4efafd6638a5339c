package fault

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParametersAreCheckedAgainstTypeAndRange(t *testing.T) {
	p := map[string]Param{
		"duration": {Type: Duration, Min: "1ms", Max: "10s"}, "percent": {Type: Percent, Min: "1%"}, "integer": {Type: Integer, Min: "1", Max: "65535"},
		"bytes": {Type: Bytes, Max: "1Gi"}, "rate": {Type: Rate, Min: "8kbit", Max: "1Gbit"}, "text": {Type: Text}, "choice": {Type: Choice, Choices: []string{"drop", "reject"}},
		"free": {Type: Duration}, "signed": {Type: Integer}, "late": {Type: Duration, Min: "-1h"},
	}
	for in, ok := range map[string]bool{
		"duration=1ms": true, "duration=10s": true, "duration=10.001s": false, "duration=0.9ms": false, "duration=5": false, "duration=-5s": false, "duration=": true,
		"percent=1": true, "percent=100%": true, "percent=12.5%": true, "percent=0.5": false, "percent=100.1": false, "percent=NaN": false, "percent=%": false, "percent=-5": false,
		"integer=1": true, "integer=65535": true, "integer=0": false, "integer=65536": false, "integer=1.5": false, "integer=x": false,
		"bytes=1Gi": true, "bytes=64Mi": true, "bytes=500k": true, "bytes=0": true, "bytes=1025Mi": false, "bytes=-1": false, "bytes=1T": false, "bytes=Inf": false,
		"rate=8kbit": true, "rate=1.5Mbit": true, "rate=1gbit": true, "rate=7999bit": false, "rate=2Gbit": false, "rate=10M": false, "rate=10": false,
		"text=anything at all": true, "text=two\nlines": false, "text=" + strings.Repeat("x", maxText+1): false,
		"choice=drop": true, "choice=Drop": false,
		"free=0s": true, "free=-1s": false, "signed=-3": true, "late=-30m": true, "late=-2h": false,
	} {
		name, value, _ := strings.Cut(in, "=")
		one := p[name]
		one.Name = name
		_, err := resolve("kind", []Param{one}, map[string]string{name: value})
		if (err == nil) != ok {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestDefaultsAndWhatMustBeGiven(t *testing.T) {
	params := []Param{{Name: "a", Type: Duration, Default: "50ms"}, {Name: "b", Type: Rate, Required: true, Help: "speed"}, {Name: "c", Type: Text}}
	v, err := resolve("kind", params, map[string]string{"b": "10Mbit"})
	if err != nil || v.Duration("a") != 50*time.Millisecond || v.Int("b") != 10_000_000 || v.Text("c") != "" {
		t.Errorf("%v %v", v, err)
	}
	if _, set := v["c"]; set {
		t.Error("c is set")
	}
	if _, err := resolve("kind", params, nil); err == nil || !strings.Contains(err.Error(), "-p b=10Mbit") {
		t.Errorf("%v", err)
	}
}

func TestValuesAreReadInTheirUnits(t *testing.T) {
	v := Values{"i": "42", "b": "64Mi", "k": "500k", "r": "1.5Gbit", "p": "12.5%", "d": "1.5s", "t": "true"}
	if v.Int("i") != 42 || v.Int("b") != 64<<20 || v.Int("k") != 500_000 || v.Int("r") != 1_500_000_000 || v.Fraction("p") != 0.125 || v.Duration("d") != 1500*time.Millisecond || !v.Bool("t") {
		t.Errorf("%d %d %d %d %v %v", v.Int("i"), v.Int("b"), v.Int("k"), v.Int("r"), v.Fraction("p"), v.Duration("d"))
	}
	if v.Int("none") != 0 || v.Duration("none") != 0 || v.Fraction("none") != 0 || v.Bool("none") {
		t.Error("what is not set is not nothing")
	}
}

func FuzzParametersNeverPassOutOfRange(f *testing.F) {
	for _, s := range []string{"1s", "-1s", "1e300", "0x1p-2", "NaN", "99999999999999999999", "1_000", "5Mi", "5Mbit", "+3", "%", "½"} {
		f.Add(s)
	}
	params := []Param{{Name: "d", Type: Duration, Min: "1ms", Max: "10s"}, {Name: "p", Type: Percent}, {Name: "i", Type: Integer, Min: "1", Max: "9"},
		{Name: "b", Type: Bytes, Max: "1Gi"}, {Name: "r", Type: Rate, Min: "1kbit", Max: "1Gbit"}}
	f.Fuzz(func(t *testing.T, value string) {
		for _, p := range params {
			v, err := resolve("k", []Param{p}, map[string]string{p.Name: value})
			if err != nil || value == "" {
				continue
			}
			switch p.Name {
			case "d":
				if d := v.Duration("d"); d < time.Millisecond || d > 10*time.Second {
					t.Errorf("%q is %v", value, d)
				}
			case "p":
				if n := v.Fraction("p"); n < 0 || n > 1 || math.IsNaN(n) {
					t.Errorf("%q is %v", value, n)
				}
			case "i":
				if n := v.Int("i"); n < 1 || n > 9 {
					t.Errorf("%q is %v", value, n)
				}
			case "b":
				if n := v.Int("b"); n < 0 || n > 1<<30 {
					t.Errorf("%q is %v", value, n)
				}
			case "r":
				if n := v.Int("r"); n < 1000 || n > 1e9 {
					t.Errorf("%q is %v", value, n)
				}
			}
		}
	})
}

func TestModesChooseAsManyAsTheySayAndTheSameForTheSameSeed(t *testing.T) {
	targets := func(n int) (out []Target) {
		for i := range n {
			out = append(out, Target{Name: fmt.Sprint(i)})
		}
		return out
	}
	for _, c := range []struct {
		of       int
		mode     Mode
		value    int
		min, max int // 0, 0: refused
	}{
		{5, "", 0, 1, 1}, {5, One, 0, 1, 1}, {5, All, 0, 5, 5}, {5, Fixed, 2, 2, 2}, {5, Fixed, 5, 5, 5}, {5, Fixed, 6, 0, 0}, {5, Fixed, 0, 0, 0}, {5, Fixed, -1, 0, 0},
		{5, FixedPercent, 1, 1, 1}, {5, FixedPercent, 20, 1, 1}, {5, FixedPercent, 21, 2, 2}, {5, FixedPercent, 100, 5, 5}, {5, FixedPercent, 101, 0, 0}, {5, FixedPercent, 0, 0, 0},
		{100, FixedPercent, 7, 7, 7}, {3, FixedPercent, 33, 1, 1}, {3, FixedPercent, 34, 2, 2},
		{10, RandomMaxPercent, 50, 1, 5}, {10, RandomMaxPercent, 9, 0, 0}, {1, RandomMaxPercent, 100, 1, 1}, {5, "most", 0, 0, 0}, {5, One, 1, 0, 0}, {5, All, 3, 0, 0},
	} {
		counts := map[int]bool{}
		for seed := range uint64(200) {
			got, err := choose(targets(c.of), c.mode, c.value, seed)
			again, _ := choose(targets(c.of), c.mode, c.value, seed)
			if (err != nil) != (c.max == 0) || len(got) < c.min || len(got) > c.max || fmt.Sprint(got) != fmt.Sprint(again) {
				t.Fatalf("%+v with seed %d: %v (then %v), %v", c, seed, got, again, err)
			}
			counts[len(got)] = true
			for i := 1; i < len(got); i++ {
				if got[i-1].Name >= got[i].Name && c.of <= 10 {
					t.Fatalf("%+v: %v is not in order", c, got)
				}
			}
		}
		if len(counts) != c.max-c.min+1 {
			t.Errorf("%+v: 200 seeds gave the counts %v", c, counts)
		}
	}
}
