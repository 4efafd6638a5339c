package observe

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inOwnNetwork runs a test in a network namespace of its own.
func inOwnNetwork(t *testing.T, test func(run func(command string))) {
	t.Helper()
	if os.Getenv("ZDL_TEST_ROOT") == "" || os.Geteuid() != 0 {
		t.Skip("set ZDL_TEST_ROOT=1 and be root to make network namespaces")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for ever: the thread ends with this goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		test(func(command string) {
			argv := strings.Fields(command)
			if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
		})
	}()
	<-done
}

func here(f func() error) error { return f() }

func hear[T any](t *testing.T, c <-chan T) (v T) {
	select {
	case v = <-c:
	case <-time.After(5 * time.Second):
		t.Error("the kernel told nothing")
	}
	return v
}

func TestAddressesAreToldAsTheyComeAndGo(t *testing.T) {
	inOwnNetwork(t, func(run func(string)) {
		type news struct {
			address netip.Addr
			added   bool
		}
		c := make(chan news, 10)
		s, err := Addresses(here, func(a netip.Addr, added bool) { c <- news{a, added} })
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		for _, added := range []bool{true, false} {
			run("ip addr " + map[bool]string{true: "add", false: "del"}[added] + " 198.18.0.100/32 dev lo")
			if got, want := hear(t, c), (news{netip.MustParseAddr("198.18.0.100"), added}); got != want {
				t.Errorf("heard %v, want %v", got, want)
			}
		}
	})
}

func TestOnlyRulesetsThatConcernTheServiceAreTold(t *testing.T) {
	inOwnNetwork(t, func(run func(string)) {
		c := make(chan time.Time, 10)
		s, err := Rules(here, "-web/web/", func(at time.Time) { c <- at })
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		run("nft add table ip kube-proxy")
		run("nft add chain ip kube-proxy service-AAAAAAAA-shop/web/tcp/http")
		before := time.Now()
		run("nft add chain ip kube-proxy service-KBN4SH2Y-web/web/tcp/http")
		if at := hear(t, c); at.Before(before) {
			t.Errorf("told %v before it was programmed", before.Sub(at))
		}
		run("nft delete chain ip kube-proxy service-KBN4SH2Y-web/web/tcp/http")
		hear(t, c)
		if len(c) > 0 {
			t.Error("told more than the two changes")
		}
	})
}
