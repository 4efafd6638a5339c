package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"zdl/internal/artifact"
)

// goMajor, goMinor is the oldest Go toolchain that can build the lab: go.mod's.
const goMajor, goMinor = 1, 26

// checkBuild looks at the artifacts, and at what it takes to build them.
func checkBuild(ctx context.Context, o Options) []Check {
	built := Check{Name: "artifacts", What: "programs and images of the lab"}
	set, err := artifact.Open(o.Cache)
	if err == nil {
		built.Status, built.Detail = OK, fmt.Sprintf("Kubernetes %s in %s", set.Versions["kubernetes"], set.Dir)
	} else {
		built.Status, built.Detail, built.Fix = Warn, err.Error(), sudo()+"zdl build"
		var missing *artifact.MissingError
		if errors.As(err, &missing) {
			built.Detail = "not built yet: " + missing.Path + " is not there"
		}
	}
	must := o.Build || o.Test || err != nil
	if o.Build && built.Status == Warn {
		built.Status, built.Fix = Info, "" // that is what is about to happen
	}
	tools := []Check{checkGo(ctx), checkC(ctx), checkBusybox()}
	if must {
		tools = append(tools, checkDisk("build-disk", "free disk for building", o.Cache, buildDisk))
	}
	for i := range tools {
		if tools[i].Status == Fail && !must {
			tools[i].Status, tools[i].Packages = Info, nil
			tools[i].Detail += "; needed only to build again"
			tools[i].Fix = ""
		}
	}
	if err == nil && o.Build {
		for i := range tools {
			if tools[i].Name == "build-disk" && tools[i].Status == Fail {
				tools[i].Status = Warn // most of it is there already
			}
		}
	}
	return append([]Check{built}, tools...)
}

func checkGo(ctx context.Context) Check {
	c := Check{Name: "go", What: fmt.Sprintf("Go %d.%d or later (building)", goMajor, goMinor), Status: OK}
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		c.Status, c.Detail, c.Fix = Fail, "no Go toolchain in PATH", "install it from https://go.dev/dl and put its bin directory into PATH"
		return c
	}
	c.Detail = strings.TrimSpace(string(out))
	var major, minor int
	if n, _ := fmt.Sscanf(c.Detail, "go%d.%d", &major, &minor); n == 2 && (major < goMajor || major == goMajor && minor < goMinor) {
		c.Status, c.Fix = Fail, "install a newer one from https://go.dev/dl"
		c.Detail += fmt.Sprintf(" is older than %d.%d", goMajor, goMinor)
	}
	return c
}

// checkC links a static program with libseccomp, as runc needs it.
func checkC(ctx context.Context) Check {
	c := Check{Name: "gcc", What: "a C compiler with static libc and libseccomp (building runc)", Status: OK, Detail: "links"}
	cc := lookAny("gcc", "cc")
	if cc == "" {
		c.Status, c.Detail, c.Packages = Fail, "no C compiler", []string{"gcc", "libc6-dev", "libseccomp-dev"}
		c.Fix = installCommand(c.Packages)
		return c
	}
	cmd := exec.CommandContext(ctx, cc, "-static", "-x", "c", "-", "-o", "/dev/null", "-lseccomp")
	cmd.Stdin = strings.NewReader("#include <seccomp.h>\nint main(void) { return seccomp_api_get() == 0; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Status, c.Detail, c.Packages = Fail, fmt.Sprintf("%s cannot link with libseccomp: %v%s", cc, err, tail(out)), []string{"libc6-dev", "libseccomp-dev"}
		c.Fix = installCommand(c.Packages)
	}
	return c
}

func checkBusybox() Check {
	c := Check{Name: "busybox", What: "a static busybox (building the toolbox image)", Status: OK}
	for _, path := range []string{"/bin/busybox", "/usr/bin/busybox", "/usr/lib/busybox/busybox-static"} {
		if isStatic(path) {
			c.Detail = path
			return c
		}
	}
	c.Status, c.Detail, c.Packages = Fail, "no busybox that needs no libraries on "+runtime.GOARCH, []string{"busybox-static"}
	c.Fix = installCommand(c.Packages)
	return c
}
