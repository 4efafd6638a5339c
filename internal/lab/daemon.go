package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"zdl/internal/artifact"
	"zdl/internal/cluster/kube"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/labfile"
	"zdl/internal/niceness"
	"zdl/internal/timeline"
	"zdl/internal/topology"
)

// Port ranges on 127.0.0.1 from which a lab takes the first free one.
var (
	pagePorts  = [2]int{8420, 8499}
	apiPorts   = [2]int{16443, 16542}
	usersPorts = [2]int{8520, 8599}
)

// bootLimit is how long a boot may take before it counts as failed. On two busy
// cores it takes well under a minute; under emulation it takes several.
const bootLimit = 20 * time.Minute

// RunDaemon supervises a lab until ctx ends: it boots or adopts the machines,
// forwards loopback ports into the lab, watches, probes and serves. When it
// ends, the cluster goes on running.
func RunDaemon(ctx context.Context, d Dirs, name string, l Listen) error {
	// The prober in it is a measuring instrument: it must wake up on time on a busy
	// host. Without the right to, it is only less punctual.
	restore, _ := niceness.Raise()
	defer restore()
	return runDaemon(ctx, d, name, l, nil)
}

type daemon struct {
	dirs    Dirs
	name    string
	log     *slog.Logger
	lab     *labfile.Lab
	set     *artifact.Set
	cluster *local.Cluster
	boot    *bootLog
	record  daemonRecord
	listen  Listen
	etcd    etcdLeader
	faults  *fault.Engine
	story   *timeline.Log                // everything that happened
	view    atomic.Pointer[kube.View]    // what is seen of the cluster, once its API has answered
	early   atomic.Pointer[http.Handler] // what answers before that: a fault may be what keeps the lab from getting up
	handler atomic.Pointer[http.Handler] // what answers once the lab is up
	work    sync.WaitGroup               // everything the daemon started

	// Set by watch: what begins when the lab serves, and when its boot is over.
	startProbing, ready func()
}

func runDaemon(ctx context.Context, d Dirs, name string, l Listen, progress func(Progress)) error {
	if err := l.Check(); err != nil {
		return err
	}
	held, err := lock(daemonLockPath(d, name))
	if errors.Is(err, errLocked) {
		return fmt.Errorf("lab %q has a daemon already", name)
	}
	if err != nil {
		return err
	}
	defer held.Close()

	// client-go notices a dead HTTP/2 connection only after 45 s by default;
	// behind a failing-over virtual IP that is too long.
	os.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "2")
	os.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "2")

	debug.SetGCPercent(50) // it idles most of the time, beside a data centre

	ctx, cancel := context.WithCancel(ctx)
	dm := &daemon{
		dirs: d, name: name, listen: l, boot: newBootLog(),
		log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	defer dm.work.Wait()
	defer cancel()

	unixListener, err := dm.listenUnix()
	if err != nil {
		return err
	}
	dm.serve(ctx, unixListener, http.HandlerFunc(dm.answer))

	info, err := dm.bring(ctx, progress)
	dm.boot.finish(info, err)
	if err != nil {
		dm.log.Error("boot failed", "error", err)
		if progress == nil {
			// Whoever waits for the boot reads the failure first, then ends us.
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
			}
		}
		return err
	}
	dm.log.Info("the lab is up", "page", info.Page, "took", info.Took)
	<-ctx.Done()
	return nil
}

// bring does everything that lies between an empty machine and a usable lab.
func (d *daemon) bring(ctx context.Context, progress func(Progress)) (*Info, error) {
	data, err := os.ReadFile(labFilePath(d.dirs, d.name))
	if err != nil {
		return nil, err
	}
	if d.lab, err = labfile.Parse(data, labFilePath(d.dirs, d.name)); err != nil {
		return nil, err
	}
	if d.set, err = d.openArtifacts(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d.cluster = local.New(local.Config{
		Name: d.name, Lab: d.lab, Set: d.set,
		StateDir: d.dirs.state(d.name), RunDir: d.dirs.run(d.name), RunRoot: d.dirs.Run,
		Init: filepath.Join(filepath.Dir(self), "zdl-init"), Log: d.log, Struck: d.struck,
	})
	d.etcd.ask, d.etcd.spawn = d.cluster.EtcdLeader, d.work.Go
	if d.story, err = timeline.Open(filepath.Join(d.dirs.state(d.name), "timeline.jsonl")); err != nil {
		return nil, err
	}
	// Before anything waits for the API server: an unfinished fault may be what
	// keeps it from answering.
	if err := d.startFaults(ctx); err != nil {
		return nil, err
	}
	// First, so that the page beside it takes a port that is still free.
	public, err := d.listenPublic()
	if err != nil {
		return nil, err
	}
	page, err := d.listenLoopback(ctx, d.listen.Page)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	bootCtx, end := context.WithCancelCause(limited)
	defer end(nil)
	d.work.Go(func() { watchSpace(bootCtx, d.dirs.state(d.name), end) })
	info := &Info{Name: d.name, Kubeconfig: d.kubeconfigPath()}
	step := func(phase, detail string, done bool) {
		p := d.boot.step(phase, detail, done)
		if phase == "serving" {
			info.Serving = p.Elapsed
			d.startProbing()
		}
		if done {
			d.log.Info("boot", "phase", phase, "ms", p.Elapsed.Milliseconds())
		}
		if progress != nil {
			progress(p)
		}
	}
	if err := d.cluster.Up(bootCtx, step, func(config *rest.Config) error { return d.watch(ctx, config) }); err != nil {
		if cause := context.Cause(bootCtx); cause != nil && limited.Err() == nil {
			return nil, cause // what went wrong is why the boot was ended
		}
		return nil, err
	}
	d.ready()
	for _, l := range []net.Listener{page, public} {
		if l == nil {
			continue
		}
		if err := d.servePage(ctx, l); err != nil {
			return nil, err
		}
	}
	info.Page = "http://" + d.record.Listen
	if public != nil {
		info.Public = "http://" + public.Addr().String()
	}
	info.API = "https://" + d.record.API
	info.Users = "http://" + d.record.Users
	info.Phases, _, _, _ = d.boot.after(0)
	info.Took = time.Since(d.boot.begin)
	return info, nil
}

// openArtifacts opens what the lab was first booted from: its disks point into
// that very generation. A new lab takes the newest.
func (d *daemon) openArtifacts() (*artifact.Set, error) {
	path := filepath.Join(d.dirs.state(d.name), "artifacts")
	if dir, err := os.ReadFile(path); err == nil {
		return artifact.OpenGeneration(string(dir))
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	set, err := artifact.Open(d.dirs.Cache)
	if err != nil {
		return nil, err
	}
	if err := set.Hold(d.dirs.state(d.name)); err != nil {
		return nil, err
	}
	return set, os.WriteFile(path, []byte(set.Dir), 0o600)
}

func (d *daemon) kubeconfigPath() string {
	return filepath.Join(d.dirs.state(d.name), "kubeconfig")
}

// listenUnix opens the socket on which the command line asks.
func (d *daemon) listenUnix() (net.Listener, error) {
	path := socketPath(d.dirs, d.name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// listenPublic takes the address that others reach, nil if there is none.
func (d *daemon) listenPublic() (net.Listener, error) {
	if d.listen.Public == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", d.listen.Public)
	if err != nil {
		return nil, fmt.Errorf("listen for visitors: %w", err)
	}
	return l, nil
}

// listenLoopback takes the three loopback ports, the same as before where they
// are still free, so that pages and kubeconfigs go on working.
func (d *daemon) listenLoopback(ctx context.Context, want string) (net.Listener, error) {
	store := filepath.Join(d.dirs.state(d.name), "ports.json")
	before := readPorts(store)
	if want == "" && free(before.Listen) {
		want = before.Listen
	}
	page, err := listen(want, pagePorts[0], pagePorts[1])
	if err != nil {
		return nil, fmt.Errorf("listen for the page: %w", err)
	}
	if !free(before.API) {
		before.API = ""
	}
	api, err := listen(before.API, apiPorts[0], apiPorts[1])
	if err != nil {
		return nil, fmt.Errorf("listen for the Kubernetes API: %w", err)
	}
	if !free(before.Users) {
		before.Users = ""
	}
	users, err := listen(before.Users, usersPorts[0], usersPorts[1])
	if err != nil {
		return nil, fmt.Errorf("listen for the service: %w", err)
	}
	d.record = daemonRecord{
		PID: os.Getpid(), Listen: page.Addr().String(), API: api.Addr().String(), Users: users.Addr().String(),
	}
	if err := writeJSON(recordPath(d.dirs, d.name), d.record); err != nil {
		return nil, err
	}
	if err := writeJSON(store, d.record); err != nil {
		return nil, err
	}
	d.forwardTo(ctx, api, fmt.Sprintf("%s:%d", topology.APIVIP, topology.APIPort))
	d.forwardTo(ctx, users, fmt.Sprintf("%s:80", topology.UserVIP))
	return page, nil
}
