package doctor

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// program is something from a Debian package that the lab starts.
type program struct {
	names []string // any of them will do
	pkg   string   // Debian package
	use   string   // what it is for
	test  bool     // only the project's own tests need it
}

// programs run while a lab is up, or are part of its nodes.
var programs = []program{
	{[]string{"haproxy"}, "haproxy", "load balancers lb-1 and lb-2", false},
	{[]string{"keepalived"}, "keepalived", "virtual IPs of load balancers and routers", false},
	{[]string{"nft"}, "nftables", "Services on the nodes (kube-proxy)", false},
	{[]string{"mkfs.ext4"}, "e2fsprogs", "disks of the nodes", false},
	{[]string{"mount"}, "mount", "volumes in the nodes (kubelet)", false},
	{[]string{"umount"}, "mount", "volumes in the nodes (kubelet)", false},
	{[]string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}, "chromium", "tests of the page", true},
	{[]string{"node"}, "nodejs", "building the page again, to compare", true},
	{[]string{"npm"}, "npm", "building the page again, to compare", true},
}

// checkPrograms looks for programs, with test also for those that only the
// project's tests need.
func checkPrograms(programs []program, test bool) []Check {
	var checks []Check
	for _, p := range programs {
		if p.test && !test {
			continue
		}
		c := Check{Name: p.names[0], What: fmt.Sprintf("%s (%s)", p.names[0], p.use)}
		if path := lookAny(p.names...); path != "" {
			c.Status, c.Detail = OK, path
		} else {
			c.Status, c.Detail, c.Packages = Fail, p.names[0]+" not found", []string{p.pkg}
			c.Fix = installCommand(c.Packages)
		}
		checks = append(checks, c)
	}
	return checks
}

// lookAny finds a program, also where only root's PATH looks; "" if there is
// none.
func lookAny(names ...string) string {
	for _, name := range names {
		for _, dir := range []string{"", "/usr/sbin/", "/sbin/", "/usr/local/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path
			}
		}
	}
	return ""
}

// Packages lists the Debian packages that mend what is missing, sorted.
func Packages(checks []Check) []string {
	var packages []string
	for _, c := range checks {
		if c.Status == Fail || c.Status == Warn {
			packages = append(packages, c.Packages...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// installCommand says how to get packages on this host.
func installCommand(packages []string) string {
	list := strings.Join(packages, " ")
	if hasApt() {
		return sudo() + "apt-get install --no-install-recommends " + list
	}
	return "install with your package manager what Debian calls: " + list
}

func hasApt() bool { return lookAny("apt-get") != "" }

func sudo() string {
	if os.Geteuid() == 0 {
		return ""
	}
	return "sudo "
}
