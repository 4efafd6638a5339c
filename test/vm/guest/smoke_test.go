package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The lab under test, and how long its parts may take. The emulated processor
// is 4 to 45 times slower than a real one.
const (
	labName  = "vm"
	stateDir = "/var/lib/zdl"
	runDir   = "/run/zdl/" + labName

	bootPatience = 20 * time.Minute // from zdl up to a pod's answer
	lookAfter    = 12 * time.Minute // when a boot that is not over is looked at
	patience     = 6 * time.Minute  // for anything that Kubernetes does
	usersVIP     = "198.18.0.100"   // internal/topology
)

// TestSmoke takes one lab of the profile small through its life: up, an answer
// to the users, a memory limit, a slow link, a power cut, down. Each step needs
// the one before.
func TestSmoke(t *testing.T) {
	needGuest(t)
	before, err := Take(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			diagnose(t)
		}
	})
	var up struct {
		Users         string // URL of the service
		Serving, Took time.Duration
	}
	step := func(name string, do func(t *testing.T)) {
		t.Helper()
		start := time.Now()
		if !t.Run(name, do) {
			t.FailNow()
		}
		t.Logf("%-28s %6.1f s", name, time.Since(start).Seconds())
	}
	step("doctor finds nothing missing", func(t *testing.T) {
		t.Log(zdl(t, patience, "doctor"))
	})
	step("up", func(t *testing.T) {
		// A boot that hangs is looked at while it does.
		early := time.AfterFunc(lookAfter, func() { diagnose(t) })
		defer early.Stop()
		decode(t, zdl(t, bootPatience, "up", "--profile", "small", "--timing", "patient", "--name", labName, "-o", "json"), &up)
		t.Logf("serving after %v, took %v", up.Serving.Round(time.Second), up.Took.Round(time.Second))
	})
	step("a pod answers the users", func(t *testing.T) { podAnswers(t, up.Users) })
	step("a memory limit kills", memoryLimitKills)
	step("a link is slow with netem", linkIsSlow)
	step("a node loses power and returns", powerCut)
	step("down leaves nothing", func(t *testing.T) {
		zdl(t, patience, "down", "--name", labName)
		after, err := Take(stateDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range after.Since(before) {
			t.Error(change)
		}
	})
}

// podAnswers asks as a user does: from the machine outside, through the virtual
// IP, and through the forward on the host's loopback.
func podAnswers(t *testing.T, users string) {
	wait(t, patience, "the users' virtual IP answers", func() error {
		out, err := run(t, time.Minute, "nsenter", "--net="+filepath.Join(runDir, "netns", "outside"),
			"timeout", "20", "busybox", "wget", "-q", "-O", "-", "http://"+usersVIP+"/")
		if err == nil {
			t.Logf("outside saw %q", firstLine(out))
		}
		return err
	})
	client := http.Client{Timeout: time.Minute}
	response, err := client.Get(users)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", users, response.Status)
	}
}

// memoryLimitKills runs a pod one process of which takes more than it may. With
// cgroup v2 the kubelet sets memory.oom.group, so that all of it must go.
func memoryLimitKills(t *testing.T) {
	image := strings.TrimSpace(kubectl(t, "get", "nodes", "-o",
		`jsonpath={range .items[*].status.images[*].names[*]}{@}{"\n"}{end}`))
	toolbox := ""
	for _, name := range strings.Fields(image) {
		if strings.HasPrefix(name, "zdl.local/toolbox:") {
			toolbox = name
		}
	}
	if toolbox == "" {
		t.Fatalf("no node has an image zdl.local/toolbox; there are:\n%s", image)
	}
	manifest := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hog"}, "spec": {
		"restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
		"containers": [{"name": "hog", "image": %q, "imagePullPolicy": "Never",
			"command": ["/bin/sh", "-c", "dd if=/dev/zero of=/dev/null bs=256M & wait; sleep 600"],
			"resources": {"limits": {"memory": "48Mi"}}}]}}`, toolbox)
	path := filepath.Join(t.TempDir(), "hog.json")
	if err := os.WriteFile(path, []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	kubectl(t, "apply", "-f", path)
	wait(t, patience, "the pod is killed for its memory", func() error {
		reason := kubectl(t, "get", "pod", "hog", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.reason}")
		if reason != "OOMKilled" {
			return fmt.Errorf("%s", kubectl(t, "get", "pod", "hog", "-o", "jsonpath={.status}"))
		}
		return nil
	})
	kubectl(t, "delete", "pod", "hog")
}

// linkIsSlow puts a queueing discipline that Debian's kernel has, and others may
// lack, on the link of a worker.
func linkIsSlow(t *testing.T) {
	worker, addr := aWorker(t)
	before := outsideRoundTrip(t, addr)
	inWorker := "nsenter --net=" + filepath.Join(runDir, "netns", worker) + " "
	sh(t, inWorker+"tc qdisc add dev eth0 root netem delay 200ms")
	slow := outsideRoundTrip(t, addr)
	sh(t, inWorker+"tc qdisc del dev eth0 root")
	after := outsideRoundTrip(t, addr)
	t.Logf("fastest of ten round trips to %s: %.1f ms, with 200 ms of delay %.1f ms, then %.1f ms", worker, before, slow, after)
	if slow < 200 || slow > before+400 || after >= 200 {
		t.Errorf("the delay did not take effect or did not end")
	}
}

// powerCut switches a worker off and on: it comes back as the same node, booted anew.
func powerCut(t *testing.T) {
	worker, _ := aWorker(t)
	facts := func(field string) string {
		return kubectl(t, "get", "node", worker, "-o", "jsonpath={.status.nodeInfo."+field+"}")
	}
	boot, machine, uid := facts("bootID"), facts("machineID"), kubectl(t, "get", "node", worker, "-o", "jsonpath={.metadata.uid}")
	zdl(t, patience, "node", "power-off", "--name", labName, worker)
	zdl(t, patience, "node", "power-on", "--name", labName, worker)
	wait(t, patience, worker+" is Ready again", func() error {
		if facts("bootID") == boot {
			return fmt.Errorf("its kubelet has not reported since it was switched on")
		}
		if ready := kubectl(t, "get", "node", worker, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`); ready != "True" {
			return fmt.Errorf("Ready is %q", ready)
		}
		return nil
	})
	if now := facts("machineID"); now != machine {
		t.Errorf("machine id was %s and is %s", machine, now)
	}
	if now := kubectl(t, "get", "node", worker, "-o", "jsonpath={.metadata.uid}"); now != uid {
		t.Errorf("the node's uid was %s and is %s", uid, now)
	}
}

// aWorker is a node that is no control plane, and its address.
func aWorker(t *testing.T) (name, addr string) {
	t.Helper()
	out := kubectl(t, "get", "nodes", "-l", "!node-role.kubernetes.io/control-plane", "-o",
		`jsonpath={.items[0].metadata.name} {.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	fields := strings.Fields(out)
	if len(fields) != 2 {
		t.Fatalf("no worker with an address: %q", out)
	}
	return fields[0], fields[1]
}

func outsideRoundTrip(t *testing.T, addr string) float64 {
	t.Helper()
	return roundTrip(t, filepath.Join(runDir, "netns", "outside"), addr)
}

// zdl runs the command under test, which must succeed, and returns its standard output.
func zdl(t *testing.T, limit time.Duration, args ...string) string {
	t.Helper()
	out, err := run(t, limit, "zdl", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return zdl(t, patience, append([]string{"kubectl", "--name", labName, "--"}, args...)...)
}

// run returns standard output, and an error that carries everything.
func run(t *testing.T, limit time.Duration, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if args[0] == "up" || args[0] == "down" { // they take minutes and tell how far they are
		cmd.Stderr = io.MultiWriter(&stderr, os.Stdout)
	}
	// The daemon that up leaves behind may keep the pipes.
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("not done within %v: %w", limit, err)
		}
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// wait asks until the condition holds.
func wait(t *testing.T, limit time.Duration, what string, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
		time.Sleep(time.Second)
	}
}

func decode(t *testing.T, data string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// diagnose shows what the lab says about itself: the machine and its disk are
// gone a moment later.
func diagnose(t *testing.T) {
	for _, line := range []string{
		"zdl status --name " + labName,
		"zdl kubectl --name " + labName + " -- get nodes,pods -A -o wide",
		"ps -eo pid,ppid,stat,time,args --forest",
		"tail -n 60 " + stateDir + "/" + labName + "/*.log",
		`for m in ` + runDir + `/machines/*; do m=$(basename $m); echo "== $m"; zdl shell --name ` + labName +
			` $m -- sh -c 'tail -n 25 /var/log/*.log /var/log/pods/*/*/*.log'; done`,
		"find /sys/fs/cgroup/ -maxdepth 6 -name cgroup.subtree_control | grep zdl | while read f; do echo $f: $(cat $f); done",
		`for m in ` + runDir + `/netns/*; do echo "== $m"; nsenter --net=$m sh -c 'ip -br addr; ip route; nft list ruleset | head -150'; done`,
		"nsenter --net=" + runDir + "/netns/outside timeout 20 busybox wget -S -O - http://" + usersVIP + "/",
		"dmesg | tail -n 30; free -m; df -h /",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-c", line+" 2>&1")
		cmd.WaitDelay = time.Second // its children hold the pipe, too
		out, _ := cmd.Output()
		cancel()
		t.Logf("$ %s\n%s", line, out)
	}
}
