package labfile

import (
	"fmt"
	"reflect"
	"regexp"
)

// conforms checks a JSON value against the part of JSON Schema that Schema
// uses, and refuses keywords it does not know, so that none goes unchecked.
func conforms(schema map[string]any, v any, path string) error {
	for keyword, want := range schema {
		ok := true
		switch keyword {
		case "$schema", "title", "description", "examples":
		case "type":
			ok = typed(want, v)
		case "const":
			ok = reflect.DeepEqual(want, v)
		case "enum":
			ok = false
			for _, w := range want.([]any) {
				ok = ok || reflect.DeepEqual(w, v)
			}
		case "minimum":
			n, is := v.(float64)
			ok = !is || n >= want.(float64)
		case "maximum":
			n, is := v.(float64)
			ok = !is || n <= want.(float64)
		case "minLength":
			s, is := v.(string)
			ok = !is || float64(len(s)) >= want.(float64)
		case "maxLength":
			s, is := v.(string)
			ok = !is || float64(len(s)) <= want.(float64)
		case "pattern":
			s, is := v.(string)
			ok = !is || regexp.MustCompile(want.(string)).MatchString(s)
		case "minItems":
			l, is := v.([]any)
			ok = !is || float64(len(l)) >= want.(float64)
		case "maxItems":
			l, is := v.([]any)
			ok = !is || float64(len(l)) <= want.(float64)
		case "uniqueItems":
			seen := map[string]bool{}
			l, _ := v.([]any)
			for _, item := range l {
				ok = ok && !seen[fmt.Sprint(item)]
				seen[fmt.Sprint(item)] = true
			}
		case "items":
			l, _ := v.([]any)
			for i, item := range l {
				if err := conforms(want.(map[string]any), item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
					return err
				}
			}
		case "properties", "additionalProperties":
			if err := properties(schema, v, path); err != nil {
				return err
			}
		case "required":
			o, is := v.(map[string]any)
			for _, name := range want.([]any) {
				_, there := o[name.(string)]
				ok = ok && (!is || there)
			}
		case "oneOf", "anyOf":
			matches := 0
			for _, s := range want.([]any) {
				if conforms(s.(map[string]any), v, path) == nil {
					matches++
				}
			}
			ok = matches == 1 || keyword == "anyOf" && matches > 0
		case "not":
			ok = conforms(want.(map[string]any), v, path) != nil
		default:
			return fmt.Errorf("unknown keyword %s", keyword)
		}
		if !ok {
			return fmt.Errorf("%s: %v does not meet %s: %v", path, v, keyword, want)
		}
	}
	return nil
}

func properties(schema map[string]any, v any, path string) error {
	o, is := v.(map[string]any)
	if !is {
		return nil
	}
	known, _ := schema["properties"].(map[string]any)
	for name, value := range o {
		s, ok := known[name].(map[string]any)
		if !ok {
			switch rest := schema["additionalProperties"].(type) {
			case bool:
				if !rest {
					return fmt.Errorf("%s: no property %s", path, name)
				}
				continue
			case map[string]any:
				s = rest
			default:
				continue
			}
		}
		if err := conforms(s, value, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func typed(want, v any) bool {
	if list, ok := want.([]any); ok {
		for _, w := range list {
			if typed(w, v) {
				return true
			}
		}
		return false
	}
	switch want {
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "array":
		_, ok := v.([]any)
		return ok
	case "string":
		_, ok := v.(string)
		return ok
	case "integer":
		n, ok := v.(float64)
		return ok && n == float64(int64(n))
	}
	return false
}
