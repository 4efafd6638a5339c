package local

import "testing"

func TestContainerIsReadFromItsConfiguration(t *testing.T) {
	config := `{"ociVersion":"1.2.1","process":{"args":["/web"]},"linux":{"cgroupsPath":"/kubepods/burstable/pod0815/4711"},
		"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.container-type":"container",
		"io.kubernetes.cri.sandbox-name":"web-1","io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"0815"}}`
	got, err := parseBundle("4711", "worker-1", []byte(config))
	want := Container{ID: "4711", Machine: "worker-1", Namespace: "shop", Pod: "web-1", PodUID: "0815", Name: "web", Group: "/kubepods/burstable/pod0815/4711"}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	if group := got.PodGroup(); group != "/kubepods/burstable/pod0815" {
		t.Errorf("the pod's group is %q", group)
	}
	sandbox, err := parseBundle("1", "worker-1", []byte(`{"annotations":{"io.kubernetes.cri.container-type":"sandbox"}}`))
	if err != nil || !sandbox.Sandbox || sandbox.Name != "" {
		t.Errorf("a sandbox was read as %+v, %v", sandbox, err)
	}
	if _, err := parseBundle("1", "worker-1", []byte(`{"annot`)); err == nil {
		t.Error("half a configuration was taken")
	}
}
