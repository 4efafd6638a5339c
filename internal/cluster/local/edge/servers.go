package edge

import (
	"fmt"
	"strconv"
	"strings"
)

// Server is a server behind a load balancer, as HAProxy runs it at present.
type Server struct {
	Name        string
	Checked     bool // its health is checked
	Maintenance bool // it gets nothing, whatever its health
}

// Servers reads version 1 of HAProxy's server state file (management.txt, "show
// servers state"): a line with the version, one with "#" and the columns' names,
// and one for each server.
func Servers(states string) ([]Server, error) {
	var out []Server
	column := map[string]int{}
	for line := range strings.Lines(states) {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "#" {
			for i, f := range fields[1:] {
				column[f] = i
			}
			continue
		}
		if len(column) == 0 || len(fields) == 0 {
			continue
		}
		number := func(name string) (int, error) {
			i, ok := column[name]
			if !ok || i >= len(fields) {
				return 0, fmt.Errorf("HAProxy tells no %s in %q", name, strings.TrimSpace(line))
			}
			n, err := strconv.Atoi(fields[i])
			if err != nil {
				return 0, fmt.Errorf("HAProxy says %q: %w", strings.TrimSpace(line), err)
			}
			return n, nil
		}
		check, err := number("srv_check_state")
		if err != nil {
			return nil, err
		}
		admin, err := number("srv_admin_state")
		if err != nil {
			return nil, err
		}
		const (
			enabled = 1 << 2 // CHK_ST_ENABLED of HAProxy's check-t.h
			// Maintenance that was asked for, inherited or because its name is not known
			// (server-t.h); that it was so by the configuration (4) stays on record.
			maintenance = 0x01 | 0x02 | 0x20
		)
		out = append(out, Server{Name: fields[column["srv_name"]], Checked: check&enabled != 0, Maintenance: admin&maintenance != 0})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("HAProxy says %q", strings.TrimSpace(states))
	}
	return out, nil
}
