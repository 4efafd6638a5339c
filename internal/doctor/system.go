package doctor

import (
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// The oldest kernel the lab is made for: LOOP_CONFIGURE came with 5.8 and
// cgroup.kill with 5.14, for which there is a fallback; Debian 11 has 5.10.
const oldestMajor, oldestMinor = 5, 8

func checkSystem() Check {
	c := Check{Name: "system", What: fmt.Sprintf("Linux %d.%d or later on amd64 or arm64", oldestMajor, oldestMinor)}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		c.Status, c.Detail = Skipped, err.Error()
		return c
	}
	release := unix.ByteSliceToString(u.Release[:])
	c.Status, c.Detail = OK, fmt.Sprintf("Linux %s on %s", release, runtime.GOARCH)
	switch major, minor, ok := version(release); {
	case !ok:
		c.Status = Warn
		c.Detail += ": a version that cannot be read"
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		c.Status = Fail
		c.Detail = fmt.Sprintf("the kernel is Linux %s, older than %d.%d", release, oldestMajor, oldestMinor)
		c.Fix = "boot a newer kernel"
	case runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64":
		c.Status = Fail
		c.Detail = "nobody has built the lab for " + runtime.GOARCH
		c.Fix = "use a machine with amd64 or arm64"
	}
	return c
}

// version reads major and minor from a kernel release such as
// 6.1.0-18-amd64.
func version(release string) (major, minor int, ok bool) {
	n, err := fmt.Sscanf(strings.ReplaceAll(release, "-", " "), "%d.%d", &major, &minor)
	return major, minor, err == nil && n == 2
}

// kernelAtLeast tells whether the running kernel has reached a version.
func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	a, b, ok := version(unix.ByteSliceToString(u.Release[:]))
	return ok && (a > major || a == major && b >= minor)
}
