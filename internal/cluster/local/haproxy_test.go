package local

import (
	"maps"
	"testing"
)

func TestHealthChecksAreReadFromHAProxy(t *testing.T) {
	const columns = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state\n"
	got, err := parseServers(columns +
		"3 ingress 1 worker-1 198.18.1.12 2 0 1 1 40 15 3 2 6 0\n" + // configured and enabled
		"3 ingress 2 worker-2 198.18.2.12 2 0 1 1 40 15 3 2 2 0\n\n") // configured only
	if want := map[string]bool{"worker-1": true, "worker-2": false}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "Can't find backend.\n", columns} {
		if got, err := parseServers(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}
