package lifecycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zdl/test/harness"
)

// After a reboot of the host no process, mount, namespace or cgroup is left, only
// files. The next up brings the same cluster back.
func TestUpAfterAHostRebootBringsTheSameClusterBack(t *testing.T) {
	l, before := start(t, "t-reboot")
	up(t, l, "--profile", "small")
	remember(t, l)
	uids := nodeUIDs(t, l)
	l.Zdl(t, "node", "power-off", "worker-2") // a host that boots switches all machines on
	reboot(t, l)

	r, err := l.Try(t.Context(), "status")
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, r, "zdl up")
	up(t, l)
	remembers(t, l)
	serves(t, l)
	for name, uid := range nodeUIDs(t, l) {
		if uids[name] != uid {
			t.Errorf("node %s is another object than before: %s, before %s", name, uid, uids[name])
		}
	}
	down(t, l)
	mustLeaveNothing(t, l, before)
}

// reboot does to the lab what a power cut of the host would: all processes die
// at once, and what the kernel held is gone. The host's boot id changes.
func reboot(t *testing.T, l *harness.Lab) {
	t.Helper()
	daemon, err := l.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	victims := []harness.Process{daemon}
	for _, p := range l.MustInits(t) {
		victims = append(victims, p)
	}
	for _, p := range victims {
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "all processes are gone", func() error {
		left, err := l.Processes("")
		if err == nil && (len(left) > 0 || daemon.Alive()) {
			err = fmt.Errorf("left: %v", left)
		}
		return err
	})
	namespaces, err := filepath.Glob(filepath.Join(l.RunDir(), "netns", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range namespaces {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Fatal(err)
		}
	}
	// Cgroups go bottom-up; the kernel takes a moment to let go of the dead.
	waitFor(t, "the cgroups are gone", func() error {
		var dirs []string
		err := filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && strings.Contains(path+"/", "/zdl/"+l.Name+"/") {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			if rmErr := syscall.Rmdir(dirs[i]); rmErr != nil {
				err = fmt.Errorf("%s: %w", dirs[i], rmErr)
			}
		}
		return err
	})
	write(t, filepath.Join(l.RunDir(), "host-boot-id"), "00000000-0000-4000-8000-000000000000\n")
}

// remember puts into the cluster what must still be there later: an object and
// a file on a volume.
func remember(t *testing.T, l *harness.Lab) {
	t.Helper()
	r := l.TryKubectl(t.Context(), []byte(fmt.Sprintf(`
{apiVersion: v1, kind: ConfigMap, metadata: {name: memory}, data: {word: kept}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: memory}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: memory}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: memory}}
  template:
    metadata: {labels: {app: memory}}
    spec:
      terminationGracePeriodSeconds: 0
      tolerations: [{operator: Exists}]
      containers:
      - name: main
        image: %q
        imagePullPolicy: Never
        command: [/bin/sh, -c, "echo started >> /data/diary; sync; exec sleep 3600"]
        readinessProbe: {exec: {command: [test, -s, /data/diary]}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: memory}}]
`, l.Image(t, "toolbox"))), "apply", "-f", "-")
	if r.Code != 0 {
		t.Fatalf("kubectl apply: exit %d %s", r.Code, r.Stderr)
	}
	l.WaitPods(t, "default", "app=memory", 1, 90*time.Second)
}

func remembers(t *testing.T, l *harness.Lab) {
	t.Helper()
	if word := l.Kubectl(t, "get", "configmap", "memory", "-o", "jsonpath={.data.word}"); word != "kept" {
		t.Errorf("the object says %q", word)
	}
	pod := l.WaitPods(t, "default", "app=memory", 1, 90*time.Second)[0].Name
	waitFor(t, "the pod has started once more on the same volume", func() error {
		r := l.TryKubectl(t.Context(), nil, "exec", pod, "--", "cat", "/data/diary")
		if strings.Count(r.Stdout, "started\n") < 2 {
			return fmt.Errorf("the volume holds %q %s", r.Stdout, r.Stderr)
		}
		return nil
	})
}

func nodeUIDs(t *testing.T, l *harness.Lab) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, n := range l.Nodes(t) {
		out[n.Name] = string(n.UID)
	}
	return out
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
