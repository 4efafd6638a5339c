package ha

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestARescheduledPodFindsItsVolumeAgain(t *testing.T) {
	l := lab(t)
	const ns = "t-volume"
	l.Namespace(t, ns)
	// No storageClassName: it must be the default.
	l.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: %[1]s}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: keeper, namespace: %[1]s}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: keeper}}
  template:
    metadata: {labels: {app: keeper}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: main
        image: %[2]q
        imagePullPolicy: Never
        command: [/bin/sh, -c, "hostname >> /data/diary; sync; exec sleep 3600"]
        readinessProbe: {exec: {command: [test, -s, /data/diary]}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`, ns, l.Image(t, "toolbox")))
	first := l.WaitPods(t, ns, "app=keeper", 1, 90*time.Second)[0].Name
	l.Kubectl(t, "-n", ns, "delete", "pod", first)
	second := l.WaitPods(t, ns, "app=keeper", 1, time.Minute)[0].Name
	if diary := l.Kubectl(t, "-n", ns, "exec", second, "--", "cat", "/data/diary"); diary != first+"\n"+second+"\n" {
		t.Errorf("the volume holds %q, want the names of %s and %s", diary, first, second)
	}

	volume := l.Kubectl(t, "-n", ns, "get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
	l.Kubectl(t, "-n", ns, "delete", "deployment", "keeper")
	l.Kubectl(t, "-n", ns, "delete", "pvc", "data", "--wait=false")
	waitFor(t, "the volume goes with its claim", time.Minute, func(ctx context.Context) error {
		if pv, err := l.Client.CoreV1().PersistentVolumes().Get(ctx, volume, metav1.GetOptions{}); err == nil {
			return fmt.Errorf("%s is %s", volume, pv.Status.Phase)
		}
		return nil
	})
}
