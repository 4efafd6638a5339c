package defence

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// withFlags gives a workload as it will be with flags set on the command line of
// its first container.
func withFlags(o *unstructured.Unstructured, flags map[string]string) (*unstructured.Unstructured, error) {
	o = o.DeepCopy()
	containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) == 0 {
		return nil, errors.Join(err, errors.New("it has no container"))
	}
	first, ok := containers[0].(map[string]any)
	if !ok {
		return nil, errors.New("its first container is none")
	}
	where := "args"
	words, found, err := unstructured.NestedStringSlice(first, where)
	if err == nil && !found {
		where = "command"
		words, found, err = unstructured.NestedStringSlice(first, where)
	}
	if err != nil || !found {
		return nil, errors.Join(err, errors.New("its first container has no command line of its own"))
	}
	words = setFlags(words, flags)
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	first[where] = list
	return o, unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers")
}

// setFlags replaces flags where they are, with as many dashes as they have
// there, and adds the others at the end.
func setFlags(words []string, flags map[string]string) []string {
	words = slices.Clone(words)
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		at := slices.IndexFunc(words, func(w string) bool { return flagName(w) == name })
		if at < 0 {
			words = append(words, "--"+name+"="+flags[name])
			continue
		}
		dashes := words[at][:strings.Index(words[at], name)]
		words[at] = dashes + name + "=" + flags[name]
	}
	return words
}

// flagName is the name in "--name=value" or "-name", "" of anything else.
func flagName(word string) string {
	if !strings.HasPrefix(word, "-") {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	return name
}

// editManifest sets flags in the file of a static pod and leaves every other
// byte as it is. It knows such files as kubeadm writes them: a list below
// "command:", one "- --name=value" a line.
func editManifest(file []byte, flags map[string]string) ([]byte, error) {
	lines := bytes.SplitAfter(file, []byte("\n"))
	last, indent := -1, ""
	for i, line := range lines {
		text := string(line)
		trimmed := strings.TrimLeft(text, " ")
		if strings.HasPrefix(trimmed, "- --") {
			last, indent = i, text[:len(text)-len(trimmed)]
		} else if last >= 0 && i == last+1 {
			break
		}
	}
	if last < 0 {
		return nil, errors.New("the manifest has no list of flags as kubeadm writes it")
	}
	if !bytes.HasSuffix(lines[last], []byte("\n")) {
		lines[last] = append(slices.Clone(lines[last]), '\n')
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		line := fmt.Sprintf("%s- --%s=%s\n", indent, name, flags[name])
		at := slices.IndexFunc(lines[:last+1], func(l []byte) bool {
			word, ok := strings.CutPrefix(strings.TrimSpace(string(l)), "- ")
			return ok && flagName(word) == name
		})
		if at < 0 {
			missing = append(missing, line)
			continue
		}
		lines[at] = []byte(line)
	}
	out := bytes.Join(lines[:last+1], nil)
	for _, line := range missing {
		out = append(out, line...)
	}
	return append(out, bytes.Join(lines[last+1:], nil)...), nil
}

// manifestFlags lists the flags in the file of a static pod.
func manifestFlags(file []byte) []string {
	var out []string
	for line := range strings.Lines(string(file)) {
		if word, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok && strings.HasPrefix(word, "--") {
			out = append(out, word)
		}
	}
	return out
}
