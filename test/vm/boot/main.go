// Command boot runs a command in the virtual machine and exits with its code:
//
//	go run ./test/vm/boot -share bin=/host/bin -- sh -c 'uname -r; /host/bin/zdl doctor'
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"zdl/test/vm"
)

func main() {
	run := vm.Run{Output: os.Stdout}
	flag.DurationVar(&run.Timeout, "timeout", vm.DefaultTimeout, "end the machine after this time")
	flag.IntVar(&run.Memory, "memory", vm.DefaultMemory, "memory in MiB")
	flag.IntVar(&run.CPUs, "cpus", vm.DefaultCPUs, "processors")
	flag.StringVar(&run.Accel, "accel", "tcg", "tcg or kvm")
	flag.BoolVar(&run.Artifacts, "artifacts", false, "mount what zdl build made at /var/cache/zdl")
	flag.Func("env", "KEY=VALUE for the command, may be repeated", func(s string) error {
		run.Env = append(run.Env, s)
		return nil
	})
	flag.Func("share", "HOSTDIR=/GUESTDIR, read-only, may be repeated", func(s string) error {
		source, target, ok := strings.Cut(s, "=")
		if !ok || !filepath.IsAbs(target) {
			return fmt.Errorf("%q is not HOSTDIR=/GUESTDIR", s)
		}
		source, err := filepath.Abs(source)
		run.Shares = append(run.Shares, vm.Share{Source: source, Target: target})
		return err
	})
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: boot [flags] -- COMMAND [ARGUMENT...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if run.Command = flag.Args(); len(run.Command) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	code, err := vm.Boot(ctx, run, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "boot:", err)
		code = 1
	}
	os.Exit(code)
}
