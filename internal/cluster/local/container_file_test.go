package local

import (
	"strings"
	"testing"
)

func TestDirectoriesOfContainersAreFoundOnTheNode(t *testing.T) {
	mounts, err := parseMounts(strings.NewReader(`800 700 0:70 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/var/lib/containerd/s/9/fs,workdir=/w
801 800 7:3 /lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/data /data rw,noatime - ext4 /dev/loop3 rw
802 800 7:3 /lib/kubelet/pods/u/volumes/kubernetes.io~configmap/c /config ro,noatime - ext4 /dev/loop3 rw
803 800 0:80 / /dev/shm rw,nosuid - tmpfs shm rw,size=65536k
804 800 0:70 / /frozen ro,relatime - overlay overlay rw,lowerdir=/a,upperdir=/u
`))
	if err != nil || len(mounts) != 5 {
		t.Fatal(mounts, err)
	}
	for at, test := range map[string]struct{ inside, onNode, err string }{
		"/":        {inside: "/tmp", onNode: "/var/lib/containerd/s/9/fs/tmp"},
		"/data":    {inside: "/data/a", onNode: "/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/data/a"},
		"/config":  {inside: "/config", err: "read-only"},
		"/dev/shm": {inside: "/dev/shm", err: "tmpfs"},
		"/frozen":  {inside: "/frozen", err: "read-only"},
	} {
		for _, m := range mounts {
			if m.at != at {
				continue
			}
			got, err := m.locate(test.inside)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%s: %v, %v, want an error with %q", at, got, err, test.err)
				}
			} else if err != nil || got.OnNode != test.onNode || got.Inside != test.inside {
				t.Errorf("%s: %+v, %v, want %s", at, got, err, test.onNode)
			}
		}
	}
}
