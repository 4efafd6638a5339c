package ha

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostAddresses are the addresses by which this host is reached from elsewhere.
func hostAddresses(t *testing.T) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range all {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil && !ip.IsLoopback() {
			out = append(out, ip.String())
		}
	}
	return out
}

// From a pod, a node, a load balancer and a router, neither a service of the
// host nor the world is reached. The same command reaches the lab's own
// service, so it is not the command that fails.
func TestNothingInTheLabReachesTheHostOrTheWorld(t *testing.T) {
	l := lab(t)
	l.Namespace(t, "t-isolation")
	l.Apply(t, toolbox(t, l, "t-isolation", "inside", "sleep 3600", "")+
		toolbox(t, l, "t-isolation", "on-host-network", "sleep 3600", ", hostNetwork: true"))
	l.WaitPods(t, "t-isolation", "app in (inside, on-host-network)", 2, time.Minute)

	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	host := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r.RemoteAddr:
		default:
		}
	})}}
	host.Start()
	defer host.Close()
	port := listener.Addr().(*net.TCPAddr).Port

	forbidden := []string{fmt.Sprintf("http://127.0.0.1:%d/", port), "http://1.1.1.1/", l.Info.Page, strings.Replace(l.Info.API, "https", "http", 1)}
	for _, a := range hostAddresses(t) {
		forbidden = append(forbidden, fmt.Sprintf("http://%s:%d/", a, port))
	}
	web := l.Kubectl(t, "-n", "web", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
	kubectl := func(pod string) func(url string) (int, string) {
		return func(url string) (int, string) {
			r := l.TryKubectl(t.Context(), nil, "-n", "t-isolation", "exec", pod, "--", "timeout", "1", "wget", "-q", "-O", "-", url)
			return r.Code, r.Stdout + r.Stderr
		}
	}
	shell := func(machine string) func(url string) (int, string) {
		return func(url string) (int, string) {
			r := l.TryShell(t.Context(), machine, "busybox", "timeout", "1", "busybox", "wget", "-q", "-O", "-", url)
			return r.Code, r.Stdout + r.Stderr
		}
	}
	users := "http://198.18.0.100/"
	for _, from := range []struct {
		name    string
		get     func(url string) (int, string)
		allowed string
	}{
		{"a pod", kubectl("inside"), "http://" + web + "/"},
		{"a pod on its node's network", kubectl("on-host-network"), "http://" + web + "/"},
		{"a node", shell(workers[0]), "http://" + web + "/"},
		{"a control plane", shell(controlPlanes[0]), "http://" + web + "/"},
		{"a load balancer", shell(loadBalancers[0]), users},
		{"the machine outside", shell("outside"), users},
	} {
		if code, out := from.get(from.allowed); code != 0 {
			t.Errorf("%s does not even reach %s, so the rest proves nothing: %s", from.name, from.allowed, out)
			continue
		}
		var asking sync.WaitGroup
		for _, url := range forbidden {
			asking.Go(func() {
				if code, out := from.get(url); code == 0 {
					t.Errorf("%s reaches %s: %.200s", from.name, url, out)
				}
			})
		}
		asking.Wait()
	}
	select {
	case who := <-seen:
		t.Errorf("the host's service was asked by %s", who)
	default:
	}
	for _, router := range []string{"router-1", "router-2"} {
		if routes := l.Shell(t, router, "ip", "route", "show", "default"); strings.TrimSpace(routes) != "" {
			t.Errorf("%s has a way out: %s", router, routes)
		}
	}
}

func TestTheHostsFilesAreHiddenFromNodesOrReadOnly(t *testing.T) {
	l := lab(t)
	for _, dir := range []string{os.TempDir(), "/var/tmp", "/root", "/run", "/dev/shm", l.StateDir()} {
		marker, err := os.CreateTemp(dir, "zdl-test-marker-")
		if err != nil {
			t.Fatal(err)
		}
		marker.Close()
		defer os.Remove(marker.Name())
		if r := l.TryShell(t.Context(), workers[0], "ls", marker.Name()); r.Code == 0 {
			t.Errorf("the node sees the host's %s", marker.Name())
		}
	}
	for _, dir := range []string{"/usr", "/usr/bin", "/usr/lib", "/opt/zdl/bin", "/opt/zdl/golden", "/opt/cni/bin", "/etc/ssl/certs", "/"} {
		path := filepath.Join(dir, "zdl-test-written-by-a-node")
		r := l.TryShell(t.Context(), workers[0], "sh", "-c", "echo x > "+path)
		if _, err := os.Lstat(path); err == nil {
			os.Remove(path)
			t.Errorf("the node wrote the host's %s", path)
		}
		// The node's own / is a tmpfs and may be written.
		if dir != "/" && r.Code == 0 {
			t.Errorf("%s can be written in the node", dir)
		}
	}
	// Even as root with every capability of the node.
	if r := l.TryShell(t.Context(), workers[0], "sh", "-c", "mount -o remount,rw /usr && echo x > /usr/zdl-test-remounted"); r.Code == 0 {
		os.Remove("/usr/zdl-test-remounted")
		t.Error("the node made the host's /usr writable")
	}
	// The numbers of the host's processes mean nothing there.
	processes := strings.Fields(l.Shell(t, workers[0], "sh", "-c", "cat /proc/[0-9]*/comm"))
	for _, p := range processes {
		if p == "zdl" || p == "haproxy" || p == "keepalived" {
			t.Errorf("the node sees a process %s of another machine", p)
		}
	}
}

// Disks are devices that root on a node can name: those of the host, and those
// of the other machines, which are loop devices of the same kernel.
func TestNodesCannotOpenTheDisksOfOthers(t *testing.T) {
	l := lab(t)
	out, err := exec.Command("losetup", "--noheadings", "--raw", "--list", "--output", "MAJ:MIN,BACK-FILE").Output()
	if err != nil {
		t.Fatal(err)
	}
	devices := map[string]string{} // number → whose
	for line := range strings.Lines(string(out)) {
		if number, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.Contains(file, l.StateDir()+"/machines/"+controlPlanes[0]+"/") {
			devices[number] = "the disk of " + controlPlanes[0]
		}
	}
	if len(devices) == 0 {
		t.Fatalf("no loop device holds the disk of %s:\n%s", controlPlanes[0], out)
	}
	if number := hostDisk(); number != "" {
		devices[number] = "the host's disk"
	}
	for number, whose := range devices {
		major, minor, _ := strings.Cut(number, ":")
		r := l.TryShell(t.Context(), workers[0], "sh", "-c",
			fmt.Sprintf("rm -f /tmp/disk; mknod /tmp/disk b %s %s && head -c 1 /tmp/disk | wc -c; rm -f /tmp/disk", major, minor))
		if strings.TrimSpace(r.Stdout) == "1" {
			t.Errorf("root on %s read %s (device %s)", workers[0], whose, number)
		}
	}
}

// hostDisk finds a block device of the host that can be read, or "".
func hostDisk() string {
	data, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 4 || strings.HasPrefix(f[3], "loop") {
			continue
		}
		if disk, err := os.Open("/dev/" + f[3]); err == nil {
			_, err := disk.Read(make([]byte, 1))
			disk.Close()
			if err == nil {
				return f[0] + ":" + f[1]
			}
		}
	}
	return ""
}

func TestNodesDoNotChangeTheHostsKernelSettings(t *testing.T) {
	l := lab(t)
	// Those that a kubelet sets, and that are the whole machine's.
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"} {
		path := "/proc/sys/" + name
		before, err := os.ReadFile(path)
		if err != nil {
			continue // this kernel has no such setting
		}
		l.TryShell(t.Context(), workers[0], "sh", "-c", "echo 1 > "+path+"; echo 0 > "+path)
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			os.WriteFile(path, before, 0o644)
			t.Errorf("a node changed the host's %s from %q to %q", name, before, after)
		}
	}
}

func TestPageAndAPIListenOnLoopbackOnly(t *testing.T) {
	l := lab(t)
	daemon, err := l.Daemon()
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{} // inodes of the daemon's sockets
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", daemon.PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	listening := 0
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		data, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			const listen = "0A"
			if len(f) < 10 || !own[f[9]] || strings.HasPrefix(table, "tcp") && f[3] != listen {
				continue
			}
			listening++
			// Little-endian 127.0.0.1.
			if !strings.HasPrefix(f[1], "0100007F:") {
				t.Errorf("the daemon listens on %s %s, which is not loopback", table, f[1])
			}
		}
	}
	if listening < 3 {
		t.Errorf("found %d listening sockets of the daemon, want those of page, API and service", listening)
	}
	// Everything else of the lab is not even in the host's network.
	processes, err := l.Processes("")
	if err != nil || len(processes) < 50 {
		t.Fatalf("%d processes of the lab, %v", len(processes), err)
	}
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.PID)); err == nil && ns == host {
			t.Errorf("%s is in the host's network", p)
		}
	}
}
