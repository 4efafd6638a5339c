package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// image is a bootable machine, read-only to every run.
type image struct {
	vmlinux string // uncompressed kernel: boots 15 s earlier than the packed one under emulation
	initrd  string // our init and the modules that the root file system needs
	rootfs  string // ext4 with Debian and the kernel's modules
}

const (
	suite = "bookworm"
	// rootfsSize is apparent: what a lab's node disks may grow into.
	rootfsSize = "16G"
	// recipe changes when the way of building changes.
	recipe = "1"
)

// guestPackages are what a lab needs of the machine it runs on, beyond Debian's
// minimal variant, plus the tools that look at it. No Go toolchain: what runs in
// the guest was built on the host.
var guestPackages = []string{
	"busybox-static", "ca-certificates", "conntrack", "e2fsprogs", "haproxy", "iproute2", "iptables",
	"iputils-ping", "keepalived", "kmod", "libseccomp2", "mount", "nftables", "openssl",
	"procps", "tcpdump", "util-linux",
}

// prepare builds kernel and root file system unless the cache has them.
func prepare(ctx context.Context, cache string, log io.Writer) (*image, error) {
	// The administrator's directories are on root's PATH on Debian, but not on
	// that of everybody who calls.
	if err := os.Setenv("PATH", hostPath()); err != nil {
		return nil, err
	}
	if err := installTools(ctx, log); err != nil {
		return nil, fmt.Errorf("install what the virtual machine needs: %w", err)
	}
	kernel, err := findKernel(ctx)
	if err != nil {
		// Offline, the newest image that was ever built still boots.
		if img := newestImage(cache); img != nil {
			fmt.Fprintf(log, "using the cached image, apt does not answer: %v\n", err)
			return img.withInitrd(ctx)
		}
		return nil, err
	}
	sum := sha256.Sum256([]byte(strings.Join(append(guestPackages, recipe, rootfsSize), " ")))
	dir := filepath.Join(cache, fmt.Sprintf("%s-%s-%s", suite, kernel.version, hex.EncodeToString(sum[:4])))
	img := imageIn(dir)
	if _, err := os.Stat(dir); err == nil {
		return img.withInitrd(ctx)
	}

	start := time.Now()
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("building the guest's root file system needs root: run as root once")
	}
	building := dir + ".building"
	if err := os.RemoveAll(building); err != nil {
		return nil, fmt.Errorf("sweep an unfinished image: %w", err)
	}
	if err := os.MkdirAll(building, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(building)
	if err := build(ctx, kernel, building, log); err != nil {
		return nil, err
	}
	if err := os.Rename(building, dir); err != nil {
		return nil, fmt.Errorf("put the finished image into its place: %w", err)
	}
	fmt.Fprintf(log, "image of the virtual machine built in %.0f s: %s\n", time.Since(start).Seconds(), dir)
	return img.withInitrd(ctx)
}

func imageIn(dir string) *image {
	return &image{
		vmlinux: filepath.Join(dir, "vmlinux"),
		initrd:  filepath.Join(dir, "initrd"),
		rootfs:  filepath.Join(dir, "rootfs.ext4"),
	}
}

func newestImage(cache string) *image {
	found, _ := filepath.Glob(filepath.Join(cache, suite+"-*", "rootfs.ext4"))
	var newest string
	var at time.Time
	for _, path := range found {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(at) && !strings.Contains(path, ".building/") {
			newest, at = filepath.Dir(path), info.ModTime()
		}
	}
	if newest == "" {
		return nil
	}
	return imageIn(newest)
}

// build makes an image in dir out of packages.
func build(ctx context.Context, k *kernel, dir string, log io.Writer) error {
	img := imageIn(dir)
	root := filepath.Join(dir, "root")

	fmt.Fprintf(log, "downloading %s %s\n", k.pkg, k.version)
	unpacked, err := k.unpack(ctx, dir)
	if err != nil {
		return fmt.Errorf("unpack the kernel: %w", err)
	}
	if err := extractVMLinux(ctx, filepath.Join(unpacked, "boot", "vmlinuz-"+k.release), img.vmlinux); err != nil {
		return fmt.Errorf("extract the kernel: %w", err)
	}

	fmt.Fprintln(log, "building the guest's root file system")
	if _, err := output(ctx, dir, "mmdebstrap", "--quiet", "--variant=minbase",
		"--include="+strings.Join(guestPackages, ","), suite, root); err != nil {
		return fmt.Errorf("build the guest's root file system: %w", err)
	}
	modules := filepath.Join(root, "usr/lib/modules", k.release)
	if err := os.MkdirAll(filepath.Dir(modules), 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(unpacked, "lib/modules", k.release), modules); err != nil {
		return fmt.Errorf("move the modules into the root file system: %w", err)
	}
	for _, unused := range []string{"gpu", "media", "infiniband", "iio", "staging", "usb", "scsi", "net/wireless"} {
		if err := os.RemoveAll(filepath.Join(modules, "kernel/drivers", unused)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(modules, "kernel/sound")); err != nil {
		return err
	}
	if _, err := output(ctx, dir, "depmod", "-b", filepath.Join(root, "usr"), k.release); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/hostname"), []byte("zdl-vm\n"), 0o644); err != nil {
		return err
	}
	if err := writeModules(ctx, root, k.release, filepath.Join(dir, "modules.cpio")); err != nil {
		return fmt.Errorf("collect the modules of the initrd: %w", err)
	}
	if _, err := output(ctx, dir, "mke2fs", "-q", "-t", "ext4", "-d", root,
		"-E", "lazy_itable_init=1,lazy_journal_init=1", img.rootfs, rootfsSize); err != nil {
		return fmt.Errorf("write the root file system's image: %w", err)
	}
	for _, leftover := range []string{root, unpacked} {
		if err := os.RemoveAll(leftover); err != nil {
			return err
		}
	}
	return nil
}
