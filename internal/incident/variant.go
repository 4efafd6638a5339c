package incident

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A file holds ${NAME} where a variant puts its value. The values are put into the
// text before it is read, so errors name the lines of the file.

var (
	placeholder  = regexp.MustCompile(`\$\{([^}\n]*)\}`)
	variantName  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]*$`)
	variantValue = regexp.MustCompile(`^[-a-zA-Z0-9_./:,%+=@]+$`) // nothing that YAML could take for more than a word
)

// maxVariants bounds how many variants a scenario has.
const maxVariants = 500

// variants is the part of a file that says what a seed may choose: groups, of each
// of which one row is taken.
type variants [][]map[string]string

// variantsOf cuts that part out, whatever else is in the file: with placeholders in
// it, it may be no YAML yet. Blank lines stand for what is before it.
func variantsOf(text string) (part string, line int) {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		switch {
		case line == 0 && strings.HasPrefix(l, "variants:"):
			line = i + 1
		case line == 0:
			lines[i] = ""
		case l != "" && (l[0] >= 'a' && l[0] <= 'z' || l[0] >= 'A' && l[0] <= 'Z'):
			return strings.Join(lines[:i], "\n"), line
		}
	}
	if line == 0 {
		return "", 0
	}
	return strings.Join(lines, "\n"), line
}

// readVariants reads only that part.
func readVariants(data []byte) (variants, error) {
	part, line := variantsOf(string(data))
	if part == "" {
		return nil, nil
	}
	var head struct {
		Variants variants `yaml:"variants"`
	}
	if err := yaml.Unmarshal([]byte(part), &head); err != nil {
		return nil, fmt.Errorf("variants are groups of rows of values: %w", err)
	}
	out := head.Variants
	total := 1
	owner := map[string]int{}
	for g, rows := range out {
		if len(rows) == 0 {
			return nil, fmt.Errorf("line %d: variants: group %d is empty", line, g+1)
		}
		if total *= len(rows); total > maxVariants {
			return nil, fmt.Errorf("line %d: there are more than %d variants", line, maxVariants)
		}
		for r, row := range rows {
			if len(row) != len(rows[0]) {
				return nil, fmt.Errorf("line %d: variants: group %d: row %d has other names than the first", line, g+1, r+1)
			}
			for name, value := range row {
				if _, same := rows[0][name]; !same {
					return nil, fmt.Errorf("line %d: variants: group %d: row %d has other names than the first", line, g+1, r+1)
				}
				if other, taken := owner[name]; taken && other != g {
					return nil, fmt.Errorf("line %d: variants: %s is in two groups", line, name)
				}
				owner[name] = g
				if !variantName.MatchString(name) || !variantValue.MatchString(value) {
					return nil, fmt.Errorf("line %d: variants: %s: %q: a name is letters and digits, a value one word without quotes", line, name, value)
				}
			}
		}
	}
	return out, nil
}

// choose takes a row of each group by chance; the same seed takes the same rows.
func (v variants) choose(seed uint64) map[string]string {
	r := rand.New(rand.NewPCG(seed, 0x696e636964656e74))
	out := map[string]string{}
	for _, rows := range v {
		maps.Copy(out, rows[r.IntN(len(rows))])
	}
	return out
}

// all lists every combination.
func (v variants) all() []map[string]string {
	out := []map[string]string{{}}
	for _, rows := range v {
		var next []map[string]string
		for _, sofar := range out {
			for _, row := range rows {
				one := maps.Clone(sofar)
				maps.Copy(one, row)
				next = append(next, one)
			}
		}
		out = next
	}
	return out
}

// fill puts a variant's values into a file's text.
func fill(data []byte, chosen map[string]string) ([]byte, error) {
	var wrong error
	used := map[string]bool{}
	lines := strings.Split(string(data), "\n")
	for i, text := range lines {
		lines[i] = placeholder.ReplaceAllStringFunc(text, func(found string) string {
			name := found[2 : len(found)-1]
			value, known := chosen[name]
			if !known && wrong == nil {
				wrong = fmt.Errorf("line %d: ${%s}: the variants have no such name; they have %s", i+1, name, strings.Join(slices.Sorted(maps.Keys(chosen)), ", "))
			}
			used[name] = true
			return value
		})
	}
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		if !used[name] && wrong == nil {
			wrong = fmt.Errorf("the variants choose %s, and nothing uses it", name)
		}
	}
	return []byte(strings.Join(lines, "\n")), wrong
}
