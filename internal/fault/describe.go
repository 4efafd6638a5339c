package fault

import (
	"fmt"
	"strings"
)

// Example is a command line that uses the kind, with every parameter that must
// be given.
func (k *Kind) Example() string {
	out := "zdl attack " + k.Name
	if k.Name == compound {
		return "zdl attack -f storm.yaml"
	}
	if k.Targets != "" && k.DefaultTarget == "" {
		out += " " + k.exampleTarget()
	}
	shown := false
	for i := range k.Params {
		if p := &k.Params[i]; p.Required || !shown && p.Default != "" {
			out += " -p " + p.Name + "=" + p.example()
			shown = true
		}
	}
	if !k.Instant {
		out += " --for 30s"
	}
	return out
}

// exampleTarget is a target that most labs have.
func (k *Kind) exampleTarget() string {
	switch k.Targets {
	case "pod", "container":
		return "any"
	case "node":
		return "worker-1"
	case "zone":
		return "zone-a"
	case "machine":
		return "worker-1"
	}
	for _, word := range strings.FieldsFunc(k.TargetHelp, func(r rune) bool { return strings.ContainsRune(" ,;:()", r) }) {
		if word == "any" {
			return "any"
		}
	}
	return "TARGET"
}

// Markdown writes the kinds as tables, one for each layer.
func Markdown(kinds []Kind) string {
	var b strings.Builder
	for _, layer := range Layers() {
		head := false
		for i := range kinds {
			k := &kinds[i]
			if k.Layer != layer {
				continue
			}
			if !head {
				fmt.Fprintf(&b, "### %s\n\n| kind | target | what it does | what is seen | parameters |\n|---|---|---|---|---|\n", layer)
				head = true
			}
			target := k.Targets
			if target == "" {
				target = "–"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s%s | %s | %s |\n", k.Name, cell(target), cell(k.Summary), instantWord(k), cell(k.Effect), paramCell(k.Params))
		}
		if head {
			b.WriteString("\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func instantWord(k *Kind) string {
	if k.Instant {
		return " Over at once."
	}
	return ""
}

func paramCell(params []Param) string {
	var out []string
	for i := range params {
		p := &params[i]
		text := "`" + p.Name + "`: " + p.Range()
		switch {
		case p.Required:
			text += ", required"
		case p.Default != "":
			text += ", default " + p.Default
		}
		out = append(out, cell(text))
	}
	if len(out) == 0 {
		return "–"
	}
	return strings.Join(out, "<br>")
}

func cell(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ")
}
