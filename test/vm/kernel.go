package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is a stock kernel package as apt offers it.
type kernel struct {
	pkg     string // linux-image-6.1.0-56-amd64
	release string // 6.1.0-56-amd64, as uname -r will say
	version string // 6.1.192-2
}

var kernelDependency = regexp.MustCompile(`(?m)^\s*Depends: linux-image-(\S+)$`)

// findKernel asks apt which kernel Debian installs today.
func findKernel(ctx context.Context) (*kernel, error) {
	const meta = "linux-image-amd64"
	find := func() (string, error) { return output(ctx, "", "apt-cache", "depends", meta) }
	out, err := find()
	if err != nil || !kernelDependency.MatchString(out) {
		if _, err := output(ctx, "", "apt-get", "update"); err != nil {
			return nil, err
		}
		if out, err = find(); err != nil {
			return nil, err
		}
	}
	match := kernelDependency.FindStringSubmatch(out)
	if match == nil {
		return nil, fmt.Errorf("apt offers no %s; its sources must hold Debian main for amd64:\n%s", meta, out)
	}
	k := &kernel{pkg: "linux-image-" + match[1], release: match[1]}
	out, err = output(ctx, "", "apt-cache", "show", "--no-all-versions", k.pkg)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			k.version = strings.TrimSpace(v)
			return k, nil
		}
	}
	return nil, fmt.Errorf("apt names no version of %s:\n%s", k.pkg, out)
}

// unpack downloads the package into dir and unpacks it there without
// installing it: no script of it runs and the host's boot loader stays as it is.
func (k *kernel) unpack(ctx context.Context, dir string) (string, error) {
	pkg := k.pkg + "=" + k.version
	// apt drops its privileges for downloads where it can; the directory is root's.
	get := []string{"-o", "APT::Sandbox::User=root", "download", pkg}
	if _, err := output(ctx, dir, "apt-get", get...); err != nil {
		// The lists may name a file that a newer one has replaced.
		if _, updateErr := output(ctx, dir, "apt-get", "update"); updateErr != nil {
			return "", err
		}
		if _, err := output(ctx, dir, "apt-get", get...); err != nil {
			return "", err
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, k.pkg+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download left %d packages %v", len(debs), err)
	}
	target := filepath.Join(dir, "kernel")
	if _, err := output(ctx, dir, "dpkg-deb", "-x", debs[0], target); err != nil {
		return "", err
	}
	return target, os.Remove(debs[0])
}

// extractVMLinux writes the ELF file inside a bzImage.
func extractVMLinux(ctx context.Context, bzImage, target string) error {
	data, err := os.ReadFile(bzImage)
	if err != nil {
		return err
	}
	packed, err := payload(data)
	if err != nil {
		return fmt.Errorf("%s: %w", bzImage, err)
	}
	var unpacked, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "xz", "--decompress", "--stdout", "--single-stream")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(packed), &unpacked, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", bzImage, err, stderr.String())
	}
	if !bytes.HasPrefix(unpacked.Bytes(), []byte("\x7fELF")) {
		return fmt.Errorf("the payload of %s is no ELF file", bzImage)
	}
	return os.WriteFile(target, unpacked.Bytes(), 0o644)
}

// payload finds the packed kernel in a bzImage by the fields of the boot
// protocol, version 2.08 or later (Documentation/arch/x86/boot.rst in Linux).
func payload(image []byte) ([]byte, error) {
	const (
		setupSectors  = 0x1f1
		magic         = 0x202 // "HdrS"
		protocol      = 0x206
		payloadOffset = 0x248
		payloadLength = 0x24c
		headerEnd     = 0x250
	)
	if len(image) < headerEnd || string(image[magic:magic+4]) != "HdrS" {
		return nil, fmt.Errorf("no Linux boot header")
	}
	if v := binary.LittleEndian.Uint16(image[protocol:]); v < 0x208 {
		return nil, fmt.Errorf("boot protocol %#x has no payload fields", v)
	}
	setup := int64(image[setupSectors])
	if setup == 0 {
		setup = 4
	}
	begin := (setup+1)*512 + int64(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := begin + int64(binary.LittleEndian.Uint32(image[payloadLength:]))
	if end > int64(len(image)) || end-begin < 8 {
		return nil, fmt.Errorf("the payload [%d, %d) is outside the file of %d bytes", begin, end, len(image))
	}
	packed := image[begin : end-4] // the last four bytes are the unpacked size
	if !bytes.HasPrefix(packed, []byte("\xfd7zXZ\x00")) {
		return nil, fmt.Errorf("the payload is not packed by xz (it begins with % x)", packed[:6])
	}
	return packed, nil
}
