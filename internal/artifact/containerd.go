package artifact

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// privateContainerd is a containerd of the build's own: its root becomes the
// golden root. It lives in its own mount namespace and dies with the build, so
// that whatever happens, nothing of it stays mounted or running. (Not in its
// own process namespace: it looks itself up in /proc.)
type privateContainerd struct {
	bin     string // directory of containerd and ctr
	dir     string // root, state and configuration
	address string
	cmd     *exec.Cmd
	log     *os.File
	exited  chan error
}

// The CRI plugin runs too: it labels each image as its own, pins the one for
// sandboxes and adds the name by ID that kubelet asks for, all of which every
// node would otherwise do again at its first boot.
const privateConfig = `version = 4
root = '%[1]s/root'
state = '%[2]s/state'
imports = []
disabled_plugins = ['io.containerd.monitor.task.v1.cgroups']
[plugins.'io.containerd.server.v1.grpc']
  address = '%[2]s/s'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '%[2]s/t'
[plugins.'io.containerd.internal.v1.opt']
  path = '%[1]s/opt'
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '%[3]s'
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['%[1]s/cni']
  conf_dir = '%[1]s/cni'
`

// startContainerd starts it and waits until it answers.
func startContainerd(ctx context.Context, bin, dir, pause string) (*privateContainerd, error) {
	c := &privateContainerd{bin: bin, dir: dir, exited: make(chan error, 1)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	state := dir
	// The name of a Unix socket has room for 107 bytes.
	if len(state) > 90 {
		short, err := os.MkdirTemp("", "zdl-golden-")
		if err != nil {
			return nil, err
		}
		state = short
	}
	c.address = filepath.Join(state, "s")
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, privateConfig, dir, state, pause), 0o600); err != nil {
		return nil, err
	}
	var err error
	if c.log, err = os.Create(filepath.Join(dir, "containerd.log")); err != nil {
		return nil, err
	}
	c.cmd = exec.Command(filepath.Join(bin, "containerd"), "--config", config)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
		Setpgid:      true, // a Ctrl-C is for the build, which then stops this one
	}
	if err := c.cmd.Start(); err != nil {
		c.log.Close()
		return nil, err
	}
	go func() { c.exited <- c.cmd.Wait() }()
	if err := c.wait(ctx, 30*time.Second, func() (bool, error) {
		_, err := c.ctr(ctx, nil, "version")
		return err == nil, err
	}); err != nil {
		c.stop()
		return nil, fmt.Errorf("start containerd: %w\n%s", err, c.lastWords())
	}
	return c, nil
}

// ctr runs a command of containerd's client in the namespace of the kubelet.
func (c *privateContainerd) ctr(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "ctr"), append([]string{"--address", c.address, "--namespace", "k8s.io"}, args...)...)
	cmd.Stdin = stdin
	output, err := cmd.CombinedOutput()
	if err != nil {
		return output, fmt.Errorf("ctr %s: %w\n%s", strings.Join(args, " "), err, tail(output, 2000))
	}
	return output, nil
}

// wait polls until ready says so, containerd exits, or the time is over.
func (c *privateContainerd) wait(ctx context.Context, limit time.Duration, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		ok, err := ready()
		if ok {
			return nil
		}
		select {
		case exit := <-c.exited:
			c.exited <- exit
			return fmt.Errorf("containerd ended: %v", exit)
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %v", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends containerd cleanly, so that its databases are whole, and by force
// if it does not.
func (c *privateContainerd) stop() error {
	defer c.log.Close()
	if state := filepath.Dir(c.address); state != c.dir {
		defer os.RemoveAll(state)
	}
	if err := c.cmd.Process.Signal(unix.SIGTERM); err != nil {
		return nil
	}
	select {
	case err := <-c.exited:
		return err
	case <-time.After(10 * time.Second):
		c.cmd.Process.Kill()
		<-c.exited
		return fmt.Errorf("containerd did not stop within 10 s and was killed")
	}
}

func (c *privateContainerd) lastWords() string {
	data, _ := os.ReadFile(c.log.Name())
	return tail(data, 2000)
}
