package defence

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const manifest = `apiVersion: v1
kind: Pod
metadata:
  name: kube-scheduler
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-scheduler
    - --leader-elect=true
    - --leader-elect-lease-duration=15s
    - --leader-elect-renew-deadline=10s
    image: zdl.local/kube-scheduler:v1.36.3
    livenessProbe:
      httpGet:
        path: /livez
  hostNetwork: true
`

func TestFlagsOfAManifestAreChangedAndNothingElse(t *testing.T) {
	got, err := editManifest([]byte(manifest), map[string]string{"leader-elect-lease-duration": "4s", "leader-elect-retry-period": "1s"})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(manifest, "lease-duration=15s", "lease-duration=4s", 1)
	want = strings.Replace(want, "deadline=10s\n", "deadline=10s\n    - --leader-elect-retry-period=1s\n", 1)
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	again, err := editManifest(got, map[string]string{"leader-elect-lease-duration": "4s"})
	if err != nil || string(again) != string(got) {
		t.Errorf("what is there already was changed: %v\n%s", err, again)
	}
	flags := manifestFlags(got)
	if !slices.Contains(flags, "--leader-elect-lease-duration=4s") || len(flags) != 4 {
		t.Errorf("flags are %q", flags)
	}
}

func TestAFlagIsNotTakenForOneWithALongerName(t *testing.T) {
	got, err := editManifest([]byte(manifest), map[string]string{"leader-elect": "false"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), "- --leader-elect=false\n") || !strings.Contains(string(got), "lease-duration=15s") {
		t.Errorf("got\n%s", got)
	}
}

func TestAFileWithoutFlagsIsRefused(t *testing.T) {
	for _, text := range []string{"", "spec: {}\n", "spec:\n  containers:\n  - command: [a, --b=c]\n"} {
		if _, err := editManifest([]byte(text), map[string]string{"a": "b"}); err == nil {
			t.Errorf("%q was changed", text)
		}
	}
}

func TestFlagsOfAWorkloadKeepTheirDashes(t *testing.T) {
	o := &unstructured.Unstructured{Object: object(t, `{"spec":{"template":{"spec":{"containers":[{"name":"c","args":["-kubernetes","-source-poll-timeout=1000","--two=1"]}]}}}}`)}
	got, err := withFlags(o, map[string]string{"source-poll-timeout": "250", "two": "2", "new": "x"})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range diff(o.Object, got.Object) {
		said = append(said, f.change())
	}
	want := `spec.template.spec.containers.0.args ["-kubernetes","-source-poll-timeout=250","--two=2","--new=x"], was ["-kubernetes","-source-poll-timeout=1000","--two=1"]`
	if strings.Join(said, "; ") != want {
		t.Errorf("%q", said)
	}
	if _, err := withFlags(&unstructured.Unstructured{Object: object(t, `{"spec":{}}`)}, nil); err == nil {
		t.Error("a workload without containers was changed")
	}
}

// FuzzManifest: no file makes it panic, and every flag that was set is there.
func FuzzManifest(f *testing.F) {
	f.Add(manifest)
	f.Add("- --a\n")
	f.Add("  - --")
	f.Fuzz(func(t *testing.T, text string) {
		flags := map[string]string{"a": "1", "bcd": "x"}
		got, err := editManifest([]byte(text), flags)
		if err != nil {
			return
		}
		for _, want := range []string{"--a=1", "--bcd=x"} {
			if !slices.Contains(manifestFlags(got), want) {
				t.Errorf("%q: %s is missing in %q", text, want, got)
			}
		}
	})
}
