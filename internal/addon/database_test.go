package addon

import (
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"zdl/internal/labfile"
)

func databaseOf(t *testing.T, p Params, d Database) []*unstructured.Unstructured {
	t.Helper()
	p.Images = maps.Clone(p.Images)
	p.Images["postgres"] = "zdl.local/postgres:15"
	objects, err := DatabaseObjects(p, d)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestTheDatabaseFitsEveryProfile(t *testing.T) {
	for _, profile := range labfile.Profiles() {
		objects := databaseOf(t, params(t, profile, labfile.Realistic), Database{Passwords: Passwords{App: "secret"}})
		var set *appsv1.StatefulSet
		for _, o := range objects {
			if _, err := kindOf(o); err != nil {
				t.Error(err)
			}
			if s, ok := typed(t, o).(*appsv1.StatefulSet); ok {
				set = s
			}
		}
		if set == nil || *set.Spec.Replicas != 3 {
			t.Fatalf("%s: no StatefulSet of three members", profile)
		}
		tolerates := func(key string) bool {
			for _, x := range set.Spec.Template.Spec.Tolerations {
				if x.Key == key {
					return true
				}
			}
			return false
		}
		if want := profile == "small"; tolerates("node-role.kubernetes.io/control-plane") != want {
			t.Errorf("%s: on control planes: %v", profile, !want)
		}
		if want := profile == "shop"; tolerates("dedicated") != want || (len(set.Spec.Template.Spec.NodeSelector) > 0) != want {
			t.Errorf("%s: on nodes reserved for databases: %v", profile, !want)
		}
		skew := set.Spec.Template.Spec.TopologySpreadConstraints[0].MaxSkew
		if want := map[string]int32{"small": 2, "ha": 1, "shop": 1}[profile]; skew != want {
			t.Errorf("%s: a zone may hold %d members more than another, want %d", profile, skew, want)
		}
	}
}

// Patroni must give up leading before another member may lead.
func TestALeaderGivesUpBeforeItsLeaseEnds(t *testing.T) {
	for _, o := range databaseOf(t, params(t, "ha", labfile.Realistic), Database{Synchronous: true}) {
		m, ok := typed(t, o).(*corev1.ConfigMap)
		if !ok {
			continue
		}
		var config struct {
			Bootstrap struct {
				DCS struct {
					TTL          int  `json:"ttl"`
					LoopWait     int  `json:"loop_wait"`
					RetryTimeout int  `json:"retry_timeout"`
					Synchronous  bool `json:"synchronous_mode"`
				} `json:"dcs"`
			} `json:"bootstrap"`
		}
		if err := yaml.Unmarshal([]byte(m.Data["patroni.yml"]), &config); err != nil {
			t.Fatal(err)
		}
		d := config.Bootstrap.DCS
		if d.TTL == 0 || d.LoopWait+2*d.RetryTimeout > d.TTL {
			t.Errorf("ttl %d, loop_wait %d, retry_timeout %d", d.TTL, d.LoopWait, d.RetryTimeout)
		}
		if !d.Synchronous {
			t.Error("it is not synchronous, as was asked for")
		}
		if !strings.HasPrefix(m.Data["post-init"], "#!/bin/sh\n") {
			t.Errorf("post-init begins %.20q", m.Data["post-init"])
		}
		return
	}
	t.Fatal("no ConfigMap")
}

func TestWithoutItsImageThereIsNoDatabase(t *testing.T) {
	if _, err := DatabaseObjects(params(t, "ha", labfile.Realistic), Database{}); err == nil || !strings.Contains(err.Error(), `"postgres"`) {
		t.Errorf("got %v", err)
	}
}
