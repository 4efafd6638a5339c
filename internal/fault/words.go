package fault

import (
	"fmt"
	"strconv"
	"strings"
)

// subject names what an attack strikes, shortened when it is much.
func subject(a *Attack) string {
	names := make([]string, len(a.Targets))
	for i, t := range a.Targets {
		names[i] = t.Name
	}
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d others", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

func lasting(a *Attack) string {
	switch {
	case a.Instant:
		return ""
	case a.For == 0:
		return " until it is healed"
	}
	return fmt.Sprintf(" for %v", a.For)
}

func evidence(a *Attack) string {
	if len(a.Evidence) > 4 {
		return fmt.Sprintf("%s; and %d more", strings.Join(a.Evidence[:3], "; "), len(a.Evidence)-3)
	}
	return strings.Join(a.Evidence, "; ")
}

func fields(a *Attack) map[string]string {
	f := map[string]string{"attack": a.ID, "kind": a.Kind, "layer": string(a.Layer), "by": a.By, "seed": strconv.FormatUint(a.Seed, 10)}
	for name, value := range a.Values {
		f["param."+name] = value
	}
	return f
}
