// Package observe hears what the kernel and the programs of a machine tell by
// themselves: addresses that come and go, packet filters that are programmed,
// lines in log files. Nothing is polled, so an idle lab costs nothing.
package observe

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// subscription is a netlink socket that has joined a multicast group. It stays
// in the network namespace in which it was opened, and keeps that alive, so
// it must be closed when the machine is gone.
type subscription struct{ file *os.File }

// join opens a subscription; do runs a function inside the machine's network
// namespace. group is a bit mask of the protocol's groups.
func join(do func(func() error) error, protocol int, group uint32) (*subscription, error) {
	fd := -1
	err := do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return os.NewSyscallError("socket", err)
	})
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group}))
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("subscribe to the kernel's notifications: %w", err)
	}
	return &subscription{os.NewFile(uintptr(fd), "netlink")}, nil
}

// each calls hear with every datagram until the subscription is closed. Notices
// that the kernel could not keep for us are lost, which it tells, and which
// changes nothing about those that follow.
func (s *subscription) each(hear func([]syscall.NetlinkMessage)) {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.file.Read(buf)
		if errors.Is(err, unix.ENOBUFS) {
			continue
		}
		if err != nil {
			return
		}
		if messages, err := syscall.ParseNetlinkMessage(buf[:n]); err == nil {
			hear(messages)
		}
	}
}

func (s *subscription) Close() error { return s.file.Close() }
