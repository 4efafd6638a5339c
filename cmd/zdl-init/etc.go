package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"zdl/internal/cluster/local/machine/boot"
)

// writeFiles gives the machine the directories and files that every Linux
// machine has, its own names, and those of the plan, which win.
func writeFiles(plan *boot.Plan) error {
	for _, dir := range []string{
		"/etc", "/home", "/media", "/mnt", "/opt", "/srv", "/run/lock", "/root",
		"/var/cache", "/var/lib", "/var/log", "/var/spool", "/var/tmp",
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for dir, mode := range map[string]fs.FileMode{"/root": 0o700, "/var/tmp": 0o777 | fs.ModeSticky, "/tmp": 0o777 | fs.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			return err
		}
	}
	links := map[string]string{
		"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib32": "usr/lib32", "/lib64": "usr/lib64", "/libx32": "usr/libx32",
		"/var/run": "/run", "/var/lock": "/run/lock", "/etc/mtab": "/proc/self/mounts", "/etc/os-release": "../usr/lib/os-release",
	}
	for link, to := range links {
		if !strings.HasPrefix(to, "/") {
			if _, err := os.Stat(filepath.Join(filepath.Dir(link), to)); err != nil {
				continue // this host has no such directory
			}
		}
		if err := os.Symlink(to, link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for name, f := range base(plan) {
		if err := writeFile(name, f); err != nil {
			return err
		}
	}
	for name, f := range plan.Files {
		if err := writeFile(name, f); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, f boot.File) error {
	if f.Mode == 0 {
		f.Mode = 0o644
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, f.Data, f.Mode); err != nil {
		return err
	}
	return os.Chmod(name, f.Mode)
}

// base are the files of a freshly installed machine. Users are the few that
// the lab's programs ask for.
func base(plan *boot.Plan) map[string]boot.File {
	hosts := []string{"127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"}
	for name, ip := range plan.Hosts {
		hosts = append(hosts, ip+"\t"+name)
	}
	sort.Strings(hosts[2:])
	text := func(lines ...string) boot.File {
		return boot.File{Data: []byte(strings.Join(lines, "\n") + "\n")}
	}
	prompt := text(`export PATH=`+boot.Path, `PS1='\u@\h:\w\$ '`)
	return map[string]boot.File{
		"/etc/hostname":      text(plan.Name),
		"/etc/machine-id":    {Data: []byte(plan.MachineID + "\n"), Mode: 0o444},
		"/etc/hosts":         text(hosts...),
		"/etc/resolv.conf":   {},
		"/etc/nsswitch.conf": text("passwd: files", "group: files", "hosts: files dns", "services: files", "protocols: files"),
		"/etc/passwd": text("root:x:0:0:root:/root:/bin/bash", "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin",
			"haproxy:x:110:110::/var/lib/haproxy:/usr/sbin/nologin", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"),
		"/etc/group":      text("root:x:0:", "daemon:x:1:", "tty:x:5:", "disk:x:6:", "haproxy:x:110:", "nogroup:x:65534:"),
		"/etc/shadow":     {Data: []byte("root:*:19000:0:99999:7:::\n"), Mode: 0o600},
		"/etc/profile":    prompt,
		"/root/.bashrc":   prompt,
		"/etc/shells":     text("/bin/sh", "/bin/bash"),
		"/etc/fstab":      text(fmt.Sprintf("# %s: mounted by its first process", plan.Name)),
		"/etc/ld.so.conf": text("include /etc/ld.so.conf.d/*.conf"),
	}
}
