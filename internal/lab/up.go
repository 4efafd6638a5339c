package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"zdl/internal/artifact"
	"zdl/internal/labfile"
)

// Up boots a lab, continues one whose boot was interrupted, or adopts one whose
// daemon died. It returns when the lab is usable. A lab that did not exist
// before and cannot be booted is removed again; one that existed keeps its data.
func Up(ctx context.Context, d Dirs, o UpOptions) (*Info, error) {
	if err := CheckName(o.Name); err != nil {
		return nil, err
	}
	busy, err := lock(verbLockPath(d, o.Name))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another zdl up or down of lab %q is at work: wait for it, or see zdl status --name %s", o.Name, o.Name)
	}
	if err != nil {
		return nil, err
	}
	defer busy.Close()
	if daemonPID(d, o.Name) != 0 {
		info, err := joinBoot(ctx, d, o)
		// A daemon that is being killed still holds its lock for a moment.
		if err == nil || errors.Is(err, ErrRunning) || !daemonEnds(ctx, d, o.Name, time.Second) {
			return info, err
		}
	}
	info, err := up(ctx, d, o)
	if err != nil && !exists(d.state(o.Name)) && !exists(filepath.Join(d.run(o.Name), "machines")) {
		// Nothing was made, or it was removed again: leave no lock either.
		_ = os.RemoveAll(d.run(o.Name))
		_ = os.Remove(verbLockPath(d, o.Name))
		_ = os.Remove(d.Run)
	}
	return info, err
}

func up(ctx context.Context, d Dirs, o UpOptions) (*Info, error) {
	if _, err := artifact.Open(d.Cache); err != nil {
		return nil, err
	}
	if err := o.Listen.Check(); err != nil {
		return nil, err
	}
	if err := checkListen(o.Listen); err != nil {
		return nil, err
	}
	isNew := !exists(d.state(o.Name))
	if err := settleBoot(d, o.Name); err != nil {
		return nil, err
	}
	if err := settleLabFile(d, o); err != nil {
		return nil, err
	}
	info, err := boot(ctx, d, o)
	if err == nil {
		return info, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted: zdl up --name %s continues, zdl down --name %s removes what is there", o.Name, o.Name)
	}
	if isNew {
		cleanCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if downErr := takeDown(cleanCtx, d, o.Name, DownOptions{}); downErr != nil {
			err = errors.Join(err, fmt.Errorf("and the clean-up failed: %w", downErr))
		}
		return nil, err
	}
	return nil, fmt.Errorf("%w (the lab's data is kept; log: %s)", err, daemonLog(d, o.Name))
}

func daemonLog(d Dirs, name string) string { return filepath.Join(d.state(name), "daemon.log") }

// joinBoot follows a boot that another `up` began. If that boot is over, the
// lab is running already and there is nothing to do.
func joinBoot(ctx context.Context, d Dirs, o UpOptions) (*Info, error) {
	running := say(ErrRunning, "lab %q is running already; look at it: zdl status --name %s; remove it: zdl down --name %s; a second one beside it: zdl up --name OTHER",
		o.Name, o.Name, o.Name)
	client, err := Connect(d, o.Name)
	if err != nil {
		return nil, fmt.Errorf("lab %q has a daemon that does not answer (zdl down --name %s removes the lab): %w", o.Name, o.Name, err)
	}
	// The story of a boot that is over is told at once: it is not worth telling.
	const atOnce = 200 * time.Millisecond
	begin := time.Now()
	var held []Progress
	tell := func(p Progress) {
		held = append(held, p)
		if o.Progress == nil || time.Since(begin) < atOnce {
			return
		}
		for _, p := range held {
			o.Progress(p)
		}
		held = nil
	}
	info, err := follow(ctx, client, tell)
	if err == nil && time.Since(begin) < atOnce {
		return nil, running
	}
	return info, err
}

// daemonEnds waits for a daemon's end and tells whether it came.
func daemonEnds(ctx context.Context, d Dirs, name string, patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; {
		if daemonPID(d, name) == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
			if time.Now().After(deadline) {
				return false
			}
		}
	}
}

// checkListen fails early, before anything is made, if an address cannot be had.
func checkListen(want Listen) error {
	if want.Public != "" {
		l, err := net.Listen("tcp", want.Public)
		if err != nil {
			return fmt.Errorf("cannot listen on %s for visitors: choose another with --public IP:PORT (%w)", want.Public, err)
		}
		defer l.Close()
	}
	address := want.Page
	l, err := listen(address, pagePorts[0], pagePorts[1])
	if err != nil {
		if address == "" {
			return fmt.Errorf("no free port from %d to %d on 127.0.0.1 for the page: name another with --listen 127.0.0.1:PORT (%w)", pagePorts[0], pagePorts[1], err)
		}
		return fmt.Errorf("cannot listen on %s for the page: choose another with --listen 127.0.0.1:PORT (%w)", address, err)
	}
	return l.Close()
}

func labFilePath(d Dirs, name string) string { return filepath.Join(d.state(name), "lab.yaml") }

// settleLabFile decides what the lab looks like: what is stored, unless nothing
// is. A running cluster cannot change its shape, so a different wish is refused.
func settleLabFile(d Dirs, o UpOptions) error {
	path := labFilePath(d, o.Name)
	stored, err := os.ReadFile(path)
	if err == nil {
		if o.Lab != nil && string(labfile.Print(o.Lab)) != string(stored) {
			return fmt.Errorf("lab %q exists with another shape (%s): zdl up --name %s without -f, --profile and --timing continues it, zdl down --name %s removes it", o.Name, path, o.Name, o.Name)
		}
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	lab := o.Lab
	if lab == nil {
		if lab, err = labfile.Profile(labfile.DefaultProfile); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the lab's state directory: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, labfile.Print(lab), 0o600); err != nil {
		return fmt.Errorf("write the lab file: %w", err)
	}
	return os.Rename(tmp, path)
}

// boot starts the daemon, here or behind, and follows it until the lab is usable.
func boot(ctx context.Context, d Dirs, o UpOptions) (*Info, error) {
	if o.Foreground {
		return nil, runDaemon(ctx, d, o.Name, o.Listen, o.Progress)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile(daemonLog(d, o.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	cmd := exec.Command(self, append([]string{"daemon", "--name", o.Name}, o.Listen.args()...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", logFile, logFile
	cmd.Env = append(os.Environ(), "ZDL_CACHE="+d.Cache, "ZDL_STATE="+d.State, "ZDL_RUN="+d.Run)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	client, err := waitDaemon(ctx, d, o.Name, ended)
	if err != nil {
		return nil, fmt.Errorf("%w; the end of its log:\n%s", err, tail(daemonLog(d, o.Name), 2000))
	}
	info, err := follow(ctx, client, o.Progress)
	if err != nil {
		stopDaemon(d, o.Name, 5*time.Second)
		<-ended
	}
	return info, err
}

func waitDaemon(ctx context.Context, d Dirs, name string, ended <-chan error) (*Client, error) {
	deadline := time.After(10 * time.Second)
	for {
		if client, err := Connect(d, name); err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-ended:
			return nil, fmt.Errorf("the daemon ended at once (%v)", err)
		case <-deadline:
			return nil, errors.New("the daemon did not open its socket within 10 s")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// follow reads the story of a boot to its end.
func follow(ctx context.Context, client *Client, progress func(Progress)) (*Info, error) {
	var info *Info
	var failed error
	err := client.Stream(ctx, "/api/v1/boot", func(event string, data []byte) error {
		switch event {
		case "step":
			var p Progress
			if err := json.Unmarshal(data, &p); err != nil {
				return err
			}
			if progress != nil {
				progress(p)
			}
		case "done":
			return json.Unmarshal(data, &info)
		case "failed":
			var text string
			if err := json.Unmarshal(data, &text); err != nil {
				return err
			}
			failed = errors.New(text)
		}
		return nil
	})
	switch {
	case failed != nil:
		return nil, failed
	case info != nil:
		return info, nil
	case err != nil:
		return nil, err
	}
	return nil, errors.New("the daemon ended before the lab was up")
}

func tail(path string, n int64) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if stat, err := file.Stat(); err == nil && stat.Size() > n {
		_, _ = file.Seek(-n, 2)
	}
	data := make([]byte, n)
	got, _ := file.Read(data)
	return data[:got]
}
