// Command init is PID 1 of the virtual machine. From the initrd it loads the
// modules that the root file system needs, moves onto it, mounts what systemd
// would mount, runs the command it was ordered to run and reports how that
// ended on the second serial line. It runs once and powers the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// order is what the host asks for; package vm declares the same fields.
type order struct {
	Command []string
	Env     []string
	Mounts  []struct{ Source, Target string } // 9p shares
	Disks   []struct{ Source, Target string } // ext4
}

func main() {
	report := "error "
	code, err := run()
	if err != nil {
		report += strings.ReplaceAll(err.Error(), "\n", " | ")
	} else {
		report = fmt.Sprintf("exit %d", code)
	}
	if line, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY, 0); err == nil {
		fmt.Fprintln(line, report)
		// Closing waits until the line has sent everything.
		line.Close()
	} else {
		fmt.Println(report)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() (code int, err error) {
	booted := time.Now()
	data, err := os.ReadFile("/order.json")
	if err != nil {
		return 0, err
	}
	var o order
	if err := json.Unmarshal(data, &o); err != nil {
		return 0, fmt.Errorf("read the order: %w", err)
	}
	if err := loadModules("/modules"); err != nil {
		return 0, err
	}
	if err := enterRoot("/dev/vda"); err != nil {
		return 0, err
	}
	if err := mountAll(o); err != nil {
		return 0, err
	}
	if err := setUp(); err != nil {
		return 0, err
	}
	plainConsole()
	fmt.Printf("guest: ready after %.1f s of user space, starting %s\n", time.Since(booted).Seconds(), o.Command[0])
	return command(o)
}

// loadModules loads every module of dir in the order of their names.
func loadModules(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	sort.Strings(paths)
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	return nil
}

// enterRoot mounts the disk and makes it the root, as switch_root does.
func enterRoot(disk string) error {
	for _, dir := range []string{"/dev", "/root"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount /dev: %w", err)
	}
	// The disk appears a moment after its driver was loaded.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Mount(disk, "/root", "ext4", unix.MS_NOATIME, "")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("mount %s: %w", disk, err)
		}
	}
	if err := unix.Mount("/dev", "/root/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move /dev: %w", err)
	}
	// The initrd's own files stay in memory unless they are removed here.
	for _, path := range []string{"/modules", "/order.json", "/init"} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.Chdir("/root"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// mountAll mounts what systemd 252 mounts, with its options, and the shares.
func mountAll(o order) error {
	type mount struct {
		source, target, kind string
		flags                uintptr
		options              string
	}
	const guarded = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	mounts := []mount{
		{"proc", "/proc", "proc", guarded, ""},
		{"sysfs", "/sys", "sysfs", guarded, ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", guarded, "nsdelegate,memory_recursiveprot"},
		{"bpf", "/sys/fs/bpf", "bpf", guarded, "mode=700"},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"mqueue", "/dev/mqueue", "mqueue", guarded, ""},
	}
	for _, m := range o.Mounts {
		mounts = append(mounts, mount{m.Source, m.Target, "9p", unix.MS_RDONLY, "trans=virtio,version=9p2000.L,msize=524288,cache=loose"})
	}
	for _, d := range o.Disks {
		mounts = append(mounts, mount{d.Source, d.Target, "ext4", unix.MS_RDONLY | unix.MS_NOATIME, ""})
	}
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share the root mount: %w", err)
	}
	return nil
}

// setUp does the rest of what systemd does and a lab could notice.
func setUp() error {
	for path, value := range map[string]string{
		"/proc/sys/kernel/hostname": "zdl-vm",
		"/proc/sys/fs/nr_open":      "1073741816",
		// What systemd enables for its own units. Anything more a lab enables itself.
		"/sys/fs/cgroup/cgroup.subtree_control": "+memory +pids",
	} {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return err
		}
	}
	if err := staticNodes(); err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: 1024, Max: 524288}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if out, err := exec.Command("/sbin/ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return nil
}

// staticNodes makes the devices whose first use loads their module, such as
// /dev/loop-control, as kmod-static-nodes.service does, and the links that
// udev makes.
func staticNodes() error {
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
	} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return err
	}
	lists, err := os.ReadFile(filepath.Join("/lib/modules", unix.ByteSliceToString(uname.Release[:]), "modules.devname"))
	if err != nil {
		return fmt.Errorf("read the list of static devices: %w", err)
	}
	for line := range strings.Lines(string(lists)) {
		var module, name string
		var kind rune
		var major, minor uint32
		if _, err := fmt.Sscanf(line, "%s %s %c%d:%d", &module, &name, &kind, &major, &minor); err != nil {
			continue // a comment
		}
		format := uint32(unix.S_IFCHR)
		if kind == 'b' {
			format = unix.S_IFBLK
		}
		path := filepath.Join("/dev", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := unix.Mknod(path, format|0o600, int(unix.Mkdev(major, minor))); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("make %s: %w", path, err)
		}
	}
	return nil
}

// plainConsole stops the terminal from turning \n into \r\n.
func plainConsole() {
	if t, err := unix.IoctlGetTermios(1, unix.TCGETS); err == nil {
		t.Oflag &^= unix.OPOST
		unix.IoctlSetTermios(1, unix.TCSETS, t)
	}
}

// command runs the order in a cgroup like that of a login session, reaping
// every orphan meanwhile.
func command(o order) (int, error) {
	const session = "/sys/fs/cgroup/user.slice/session.scope"
	if err := os.MkdirAll(session, 0o755); err != nil {
		return 0, err
	}
	env := append([]string{"HOME=/root", "TERM=dumb", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, o.Env...)
	cgroup, err := unix.Open(session, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open the session's cgroup: %w", err)
	}
	defer unix.Close(cgroup)
	os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Env, cmd.Dir = env, "/root"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: cgroup}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", o.Command[0], err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for %s: %w", o.Command[0], err)
		case pid == cmd.Process.Pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == cmd.Process.Pid:
			return status.ExitStatus(), nil
		}
	}
}
