package shop

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	manifests "zdl/deploy/shop"
	"zdl/internal/artifact"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// onNode runs a script where containerd runs on a copy of the disk that every node
// starts from, in namespaces of its own that end with it. The script sees the
// directory files at /files.
const onNode = `
set -e
R=$T/root; mkdir $R; mount -t tmpfs none $R; cd $R
mkdir -p usr etc proc sys dev run tmp var opt/zdl/bin opt/zdl/golden files test
for l in bin sbin lib lib64; do ln -s usr/$l $l; done
mount --rbind /usr usr; mount --bind $S/bin opt/zdl/bin
mount --bind $S/golden opt/zdl/golden; mount -o remount,ro,bind opt/zdl/golden
mount --bind $F files; mount --bind $T test
cp --sparse=always $S/disk.img $T/disk.img; mount -o loop $T/disk.img var
mount -t proc none proc; mount --rbind /sys sys; mount --rbind /dev dev
ip link set lo up
printf "version = 4\nimports = []\n[plugins.'io.containerd.nri.v1.nri']\n  disable = true\n[plugins.'io.containerd.internal.v1.opt']\n  path = '/var/lib/containerd/opt'\n" > etc/containerd.toml
mkdir old; pivot_root . old # not chroot: who enters a container would find the old root
exec chroot . /bin/sh -c 'umount -l /old; exec /bin/sh /files/script'
`

// What a kubelet would do with a store's pod, as far as the store sees it: the
// chart's command, environment and files, and its user, who may not write to the root.
func TestEachStoreStartsAsTheChartSays(t *testing.T) {
	if os.Getenv("ZDL_TEST_ROOT") == "" {
		t.Skip("set ZDL_TEST_ROOT=1 and run as root: needs mounts, loop devices and a real containerd")
	}
	set, err := artifact.Open(artifact.DefaultCache())
	if err != nil {
		t.Skip(err)
	}
	if why := Missing(set); why != "" {
		t.Skip(why)
	}
	lab, err := labfile.Profile("shop")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Render(LabValues(lab, topology.New(lab), set))
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]corev1.Secret{}
	for _, o := range objects["secrets.yaml"] {
		var s corev1.Secret
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &s); err != nil {
			t.Fatal(err)
		}
		secrets[s.Name] = s
	}
	script := "set -e\nexport PATH=$PATH:/opt/zdl/bin\nctr() { command ctr -n k8s.io \"$@\"; }\n" +
		"containerd -c /etc/containerd.toml 2> /test/log & P=$!\nfor i in $(seq 100); do ctr version > /dev/null 2>&1 && break; sleep 0.1; done\n" +
		"echo 127.0.0.1 localhost $(hostname) > /etc/hosts; touch /etc/resolv.conf\n"
	asked := map[string]string{ // what each must answer, by its own client
		"redis":     "redis-cli -a '" + secrets["redis"].StringData["password"] + "' set key kept",
		"mariadb":   "mariadb -h 127.0.0.1 -ushipping -p" + secrets["mariadb"].StringData["shipping"] + " shipping -e 'create table t (a int); insert into t values (42); select a from t'",
		"rabbitmq":  "rabbitmqctl authenticate_user shop " + secrets["rabbitmq"].StringData["password"],
		"documents": "", // has no shell: it is asked for its health
	}
	for _, store := range slices.Sorted(maps.Keys(asked)) {
		script += start(t, objects[store+".yaml"], secrets, files)
		question := fmt.Sprintf("ctr task exec --exec-id q$i --user 999:999 %s sh -c %q", store, asked[store])
		if asked[store] == "" {
			question = "busybox wget -q -O - http://127.0.0.1:8088/debug/readyz && echo answered"
		}
		script += fmt.Sprintf("for i in $(seq 60); do A=$(%s 2>&1) && break; sleep 0.5; done; echo \"%s: $A\"\n", question, store)
		script += "ctr task kill -s TERM " + store + "\n"
	}
	script += "for i in $(seq 60); do ctr task ls -q | grep -q . || break; ctr task ls | grep -q RUNNING || break; sleep 0.5; done\nctr task ls\n" +
		"for c in $(ctr task ls -q); do ctr task rm $c; ctr container rm $c; done > /dev/null 2>&1\nkill $P; wait $P\n" +
		"rmdir /sys/fs/cgroup/*/k8s.io /sys/fs/cgroup/k8s.io 2> /dev/null || true\n"
	if err := os.WriteFile(filepath.Join(files, "script"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", onNode)
	cmd.Env = append(os.Environ(), "S="+set.Dir, "T="+t.TempDir(), "F="+files)
	output, err := cmd.CombinedOutput()
	said := regexp.MustCompile(`(?m)(^|\s*)time="[^"]*" level=warning msg="DEPRECATION.*\n`).ReplaceAllString(string(output), "\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for store, want := range map[string]string{"redis": "\nOK\n", "mariadb": "\na\n42\n", "rabbitmq": "\nSuccess\n", "documents": "answered\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s did not answer %q:\n%s", store, want, said)
		}
	}
	if strings.Contains(said, "RUNNING") {
		t.Errorf("a store does not end when it is told to:\n%s", said)
	}
}

// start is the line that starts a store's container.
func start(t *testing.T, objects []*unstructured.Unstructured, secrets map[string]corev1.Secret, files string) string {
	t.Helper()
	var set appsv1.StatefulSet
	for _, o := range objects {
		switch o.GetKind() {
		case "ConfigMap":
			var c corev1.ConfigMap
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &c); err != nil {
				t.Fatal(err)
			}
			for name, text := range c.Data {
				path := filepath.Join(files, c.Name, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		case "StatefulSet":
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &set); err != nil {
				t.Fatal(err)
			}
		}
	}
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	argv := []string{"ctr", "run", "-d", "--net-host", "--user", fmt.Sprintf("%d:%d", *pod.SecurityContext.RunAsUser, *pod.SecurityContext.RunAsGroup)}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = secrets[e.ValueFrom.SecretKeyRef.Name].StringData[e.ValueFrom.SecretKeyRef.Key]
		}
		argv = append(argv, "--env", e.Name+"="+value)
	}
	prepare := ""
	for _, m := range c.VolumeMounts {
		source := "/test/" + set.Name + "-" + m.Name
		if m.Name == "config" {
			argv = append(argv, "--mount", "type=bind,src=/files/"+set.Name+",dst="+m.MountPath+",options=rbind:ro")
			continue
		}
		prepare += "mkdir -m 0777 -p " + source + "; chmod 0777 " + source + "\n"
		argv = append(argv, "--mount", "type=bind,src="+source+",dst="+m.MountPath+",options=rbind:rw")
	}
	argv = append(argv, c.Image, set.Name)
	switch {
	case len(c.Command) > 0:
		argv = append(argv, c.Command...)
	default: // ctr has no arguments after an image's entrypoint
		argv = append(argv, "/usr/local/bin/ferretdb")
	}
	for _, a := range append(argv, c.Args...) {
		prepare += "'" + strings.ReplaceAll(a, "'", `'\''`) + "' "
	}
	return prepare + "\n"
}
