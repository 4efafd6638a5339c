package repair

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"zdl/internal/incident"
	"zdl/internal/incident/causal"
	"zdl/internal/jsonpointer"
)

// Sacrificed compares what there was when the trainee was paged with what there
// is: what was deleted, scaled away or taken the protection from.
func Sacrificed(s *incident.Scenario, before, now incident.Objects) []Reason {
	var out []Reason
	report := func(action incident.Action, on causal.Entity, what string) {
		why := action.Why()
		for _, r := range s.Allowed {
			if r.Action == action && r.On.Matches(on) {
				return
			}
		}
		for _, r := range s.Forbidden {
			if r.Action == action && r.On.Matches(on) {
				why = r.Why
			}
		}
		out = append(out, Reason{Code: ShortCut, Action: action, On: on, Text: what + ". " + why})
	}
	for _, e := range slices.Sorted(maps.Keys(before)) {
		old := before[e]
		current, there := now[e]
		mayGo := slices.ContainsFunc(s.MayGo, func(p causal.Entity) bool { return p.Matches(e) })
		switch {
		case passing(e.Kind()), there && untouched(old, current):
		case !there && mayGo:
		case !there:
			if action, is := deleted[e.Kind()]; is {
				report(action, e, fmt.Sprintf("%s was deleted", e))
			} else {
				out = append(out, Reason{Code: Destroyed, On: e, Text: fmt.Sprintf("%s was there, and is no more.", e)})
			}
		case keepsIdentity(e.Kind()) && uid(old) != uid(current) && !mayGo:
			report(deleted[e.Kind()], e, fmt.Sprintf("%s was deleted and made anew", e))
		default:
			weaker(e, old, current, now, report)
		}
	}
	return out
}

// untouched tells of two objects that they are one and the same document, as they
// are when nothing was heard of the object since: the common case, at no cost.
func untouched(a, b any) bool {
	x, isX := a.(map[string]any)
	y, isY := b.(map[string]any)
	return isX && isY && reflect.ValueOf(x).Pointer() == reflect.ValueOf(y).Pointer()
}

// passing kinds come and go by themselves.
func passing(kind string) bool {
	switch kind {
	case "pod", "replicaset", "job", "users", "machine", "zone", "disk", "link", "etcd", "apiserver", "scheduler", "controller-manager":
		return true
	}
	return false
}

// deleted says which short cut it is to delete an object of a kind.
var deleted = map[string]incident.Action{
	"deployment": incident.WorkloadDeleted, "statefulset": incident.WorkloadDeleted, "daemonset": incident.WorkloadDeleted, "cronjob": incident.WorkloadDeleted,
	"poddisruptionbudget": incident.BudgetRemoved, "horizontalpodautoscaler": incident.AutoscalerRemoved, "networkpolicy": incident.PolicyRemoved,
	"resourcequota": incident.QuotaRemoved, "validatingwebhookconfiguration": incident.WebhookRemoved, "mutatingwebhookconfiguration": incident.WebhookRemoved,
	"persistentvolumeclaim": incident.DataDeleted, "persistentvolume": incident.DataDeleted, "namespace": incident.NamespaceDeleted,
}

// keepsIdentity tells which kinds must be the same object, not one of the same name:
// with them go pods, or data.
func keepsIdentity(kind string) bool {
	switch kind {
	case "deployment", "statefulset", "daemonset", "persistentvolumeclaim", "persistentvolume", "namespace":
		return true
	}
	return false
}

func uid(o any) any { return jsonpointer.Find(o, "/metadata/uid") }

// Factors beyond which a limit has been widened without bound.
const (
	widestLimit   = 4.0
	widestQuota   = 10.0
	mostPatience  = 10.0 // of a probe
	defaultPeriod = 10.0 // seconds, Kubernetes' own
	defaultTries  = 3.0
)

type reporter func(action incident.Action, on causal.Entity, what string)

// weaker reports what of an object protects less than before.
func weaker(e causal.Entity, old, current any, now incident.Objects, report reporter) {
	switch e.Kind() {
	case "deployment", "statefulset", "daemonset":
		replicas(e, old, current, now, report)
		containers(e, old, current, report)
	case "service":
		if was, is := jsonpointer.Find(old, "/spec/selector"), jsonpointer.Find(current, "/spec/selector"); !reflect.DeepEqual(was, is) {
			report(incident.TrafficRedirected, e, fmt.Sprintf("%s leads to other pods", e))
		}
	case "poddisruptionbudget":
		if !allowsAll(old) && allowsAll(current) {
			report(incident.BudgetRemoved, e, fmt.Sprintf("%s allows every pod to be evicted", e))
		}
	case "resourcequota":
		hard, _ := jsonpointer.Find(old, "/spec/hard").(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(hard)) {
			after := jsonpointer.Find(current, "/spec/hard/"+jsonpointer.Escape(name))
			was, is := quantity(hard[name]), quantity(after)
			switch {
			case after == nil:
				report(incident.QuotaRemoved, e, fmt.Sprintf("%s does not bound %s any more", e, name))
			case was > 0 && is > widestQuota*was:
				report(incident.LimitsUnbounded, e, fmt.Sprintf("%s: %s was raised from %v to %v", e, name, hard[name], after))
			}
		}
	case "ingress":
		if tls, _ := jsonpointer.Find(old, "/spec/tls").([]any); len(tls) > 0 && jsonpointer.Find(current, "/spec/tls") == nil {
			report(incident.TLSRemoved, e, fmt.Sprintf("%s has no TLS any more", e))
		}
	}
}

func replicas(e causal.Entity, old, current any, now incident.Objects, report reporter) {
	if e.Kind() == "daemonset" {
		return
	}
	was, is := count(old, "/spec/replicas", 1), count(current, "/spec/replicas", 1)
	switch {
	case was > 0 && is == 0:
		report(incident.ScaledToZero, e, fmt.Sprintf("%s has no replicas", e))
	case is < was && !scaled(e, now):
		report(incident.ScaledDown, e, fmt.Sprintf("%s has %v replicas, and had %v", e, is, was))
	}
}

// scaled tells whether an autoscaler decides how many replicas a workload has.
func scaled(e causal.Entity, now incident.Objects) bool {
	for other, o := range now {
		if other.Kind() == "horizontalpodautoscaler" && other.Namespace() == e.Namespace() && jsonpointer.Find(o, "/spec/scaleTargetRef/name") == e.Name() {
			return true
		}
	}
	return false
}

func containers(e causal.Entity, old, current any, report reporter) {
	const path = "/spec/template/spec/containers"
	list, _ := jsonpointer.Find(old, path).([]any)
	after, _ := jsonpointer.Find(current, path).([]any)
	for _, c := range list {
		name := jsonpointer.Find(c, "/name")
		i := slices.IndexFunc(after, func(x any) bool { return jsonpointer.Find(x, "/name") == name })
		if i < 0 {
			report(incident.WorkloadDeleted, e, fmt.Sprintf("%s: its container %v is gone", e, name))
			continue
		}
		if was, is := repository(c), repository(after[i]); was != is {
			report(incident.WorkloadReplaced, e, fmt.Sprintf("%s: %v runs %s in place of %s", e, name, is, was))
		}
		for _, probe := range []string{"readinessProbe", "livenessProbe", "startupProbe"} {
			was, is := jsonpointer.Find(c, "/"+probe), jsonpointer.Find(after[i], "/"+probe)
			switch {
			case was == nil:
			case is == nil:
				report(incident.ProbeRemoved, e, fmt.Sprintf("%s: the %s of %v is gone", e, probe, name))
			case patience(is) > mostPatience*patience(was):
				report(incident.ProbeRemoved, e, fmt.Sprintf("%s: the %s of %v waits %.0f s, and waited %.0f", e, probe, name, patience(is), patience(was)))
			}
		}
		for _, what := range []string{"memory", "cpu"} {
			was, is := jsonpointer.Find(c, "/resources/limits/"+what), jsonpointer.Find(after[i], "/resources/limits/"+what)
			switch {
			case was == nil:
			case is == nil:
				report(incident.LimitsUnbounded, e, fmt.Sprintf("%s: %v has no limit of %s any more", e, name, what))
			case quantity(is) > widestLimit*quantity(was):
				report(incident.LimitsUnbounded, e, fmt.Sprintf("%s: the limit of %s of %v was raised from %v to %v", e, what, name, was, is))
			}
		}
	}
}

// repository is a container's image without its version: another version may be a
// fix, another program is none.
func repository(container any) string {
	image, _ := jsonpointer.Find(container, "/image").(string)
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image = image[:colon]
	}
	return image
}

// patience is how long a probe may fail before anything is done, in seconds.
func patience(probe any) float64 {
	return count(probe, "/periodSeconds", defaultPeriod) * count(probe, "/failureThreshold", defaultTries)
}

// allowsAll tells whether a disruption budget protects nothing.
func allowsAll(o any) bool {
	least, most := jsonpointer.Find(o, "/spec/minAvailable"), jsonpointer.Find(o, "/spec/maxUnavailable")
	zero := least == 0.0 || least == "0" || least == "0%"
	return zero || most == "100%" || least == nil && most == nil
}
