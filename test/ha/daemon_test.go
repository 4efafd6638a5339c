package ha

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"zdl/test/harness"
)

// The daemon is not in the users' way: it may die at any moment, and the next
// one takes over what it finds.
func TestTheClusterOutlivesItsDaemonAndANewOneAdoptsIt(t *testing.T) {
	l := lab(t)
	inits := l.MustInits(t)
	containers := containerIDs(t, l)
	old, err := l.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	users := l.Watch(t)
	if err := syscall.Kill(old.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the daemon is dead", 5*time.Second, func(context.Context) error {
		if old.Alive() {
			return fmt.Errorf("%s lives", old)
		}
		return nil
	})
	r, err := l.Try(t.Context(), "status")
	if err != nil {
		t.Fatal(err)
	}
	if r.Code == 0 || !strings.Contains(r.Stderr, "zdl up") {
		t.Errorf("zdl status without a daemon: exit %d %q, want a sentence that says how to go on", r.Code, r.Stderr)
	}
	// A user asks without any help of the daemon, and so does an administrator.
	if out := l.Shell(t, "outside", "busybox", "timeout", "3", "busybox", "wget", "-q", "-O", "-", harness.UsersURL()); !strings.Contains(out, `"pod":"web-`) {
		t.Errorf("without a daemon the service says %q", out)
	}
	before := l.Info
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if fresh, err := l.Daemon(); err != nil || fresh == old {
		t.Errorf("the new daemon is %v, %v", fresh, err)
	}
	if l.Info.Page != before.Page || l.Info.API != before.API || l.Info.Users != before.Users {
		t.Errorf("addresses changed from %+v to %+v", before, l.Info)
	}
	for name, p := range l.MustInits(t) {
		if inits[name] != p {
			t.Errorf("%s was started anew: %v, before %v", name, p, inits[name])
		}
	}
	for id, id2 := range containerIDs(t, l) {
		if was, ok := containers[id]; ok && was != id2 {
			t.Errorf("container %s was started anew", id)
		}
	}
	var s struct{ Service struct{ Up bool } }
	waitFor(t, "the new daemon watches", 20*time.Second, func(context.Context) error {
		l.ZdlJSON(t, &s, "status")
		if !s.Service.Up {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	users.MustServeAll(t)
}

// containerIDs are the containers that run, by pod and name.
func containerIDs(t *testing.T, l *harness.Lab) map[string]string {
	t.Helper()
	pods, err := l.Client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			out[string(p.UID)+" "+c.Name] = c.ContainerID
		}
	}
	return out
}

func TestTheDaemonEndsCleanlyAndTheClusterGoesOn(t *testing.T) {
	l := lab(t)
	old, err := l.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	users := l.Watch(t)
	if err := syscall.Kill(old.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the daemon ends when it is asked to", 5*time.Second, func(context.Context) error {
		if old.Alive() {
			return fmt.Errorf("%s lives", old)
		}
		return nil
	})
	if err := l.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	users.MustServeAll(t)
}
