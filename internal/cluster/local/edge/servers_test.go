package edge

import (
	"slices"
	"testing"
)

func TestServersAreReadFromHAProxy(t *testing.T) {
	const columns = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state\n"
	got, err := Servers(columns +
		"3 ingress 1 worker-1 198.18.1.12 2 0 1 1 40 15 3 2 6 0\n" + // check configured and enabled
		"3 ingress 2 worker-2 198.18.2.12 2 4 1 1 40 15 3 2 2 0\n" + // check configured only; it began in maintenance
		"3 ingress 3 worker-3 198.18.3.12 0 5 1 1 40 15 3 2 6 0\n\n") // in maintenance
	want := []Server{{"worker-1", true, false}, {"worker-2", false, false}, {"worker-3", true, true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "Can't find backend.\n", columns, "1\n# srv_name srv_admin_state\nworker-1 0\n", columns + "3 ingress 1 worker-1 x 2 0 1 1 40 15 3 2 six 0\n"} {
		if got, err := Servers(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}
