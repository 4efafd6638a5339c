package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"zdl/internal/cluster/local/machine/boot"
)

// listen makes the control socket in the host's run directory. The name is
// relative, for the address of a socket holds 107 bytes only.
func listen(runDir string) (net.Listener, error) {
	if err := os.Chdir(runDir); err != nil {
		return nil, err
	}
	if err := os.Remove(boot.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", boot.Socket)
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	return l, nil
}

func serveControl(l net.Listener, s *supervisor) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var req boot.Request
			line, err := bufio.NewReader(conn).ReadBytes('\n')
			if err != nil || json.Unmarshal(line, &req) != nil {
				return
			}
			_ = json.NewEncoder(conn).Encode(s.answer(req))
		}()
	}
}

func (s *supervisor) answer(req boot.Request) boot.Response {
	if req.Op == boot.OpList {
		var r boot.Response
		for _, v := range s.services {
			r.Services = append(r.Services, v.status())
		}
		return r
	}
	for _, v := range s.services {
		if v.Name == req.Service {
			if err := v.do(req); err != nil {
				return boot.Response{Error: err.Error()}
			}
			return boot.Response{Services: []boot.ServiceStatus{v.status()}}
		}
	}
	return boot.Response{Error: fmt.Sprintf("there is no service %q", req.Service)}
}

func (v *service) do(req boot.Request) error {
	switch req.Op {
	case boot.OpStart:
		v.want(true)
	case boot.OpStop:
		v.stop(unix.Signal(req.Signal))
	case boot.OpRestart:
		v.stop(0)
		v.want(true)
	case boot.OpSignal:
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.pid == 0 {
			return fmt.Errorf("service %s is not running", v.Name)
		}
		return unix.Kill(v.pid, unix.Signal(req.Signal))
	default:
		return fmt.Errorf("unknown operation %q", req.Op)
	}
	return nil
}

// stop ends the service by a signal, 0 is SIGTERM, and returns when it is gone.
func (v *service) stop(by unix.Signal) {
	if by == 0 {
		by = unix.SIGTERM
	}
	pid := v.want(false)
	if pid == 0 {
		return
	}
	_ = unix.Kill(pid, by)
	_ = unix.Kill(pid, unix.SIGCONT) // a stopped process gets SIGTERM only then
	deadline := time.Now().Add(stopGrace)
	for wait := stopPoll; v.status().PID == pid; wait = min(2*wait, waitPoll) {
		if time.Now().After(deadline) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(wait)
	}
}
