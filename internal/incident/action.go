package incident

import "slices"

// Action is a short cut: something that makes a symptom go and leaves the users
// worse protected than before.
type Action string

// The closed list of short cuts.
const (
	WorkloadDeleted   Action = "workload-deleted"
	WorkloadReplaced  Action = "workload-replaced"
	TrafficRedirected Action = "traffic-redirected"
	ScaledToZero      Action = "scaled-to-zero"
	ScaledDown        Action = "scaled-down"
	ProbeRemoved      Action = "probe-removed"
	LimitsUnbounded   Action = "limits-unbounded"
	BudgetRemoved     Action = "budget-removed"
	AutoscalerRemoved Action = "autoscaler-removed"
	PolicyRemoved     Action = "policy-removed"
	QuotaRemoved      Action = "quota-removed"
	WebhookRemoved    Action = "webhook-removed"
	TLSRemoved        Action = "tls-removed"
	DataDeleted       Action = "data-deleted"
	NamespaceDeleted  Action = "namespace-deleted"
)

// actions says of each short cut why it is none.
var actions = []struct {
	action Action
	why    string
}{
	{WorkloadDeleted, "A workload that is deleted raises no alert, and serves nobody."},
	{WorkloadReplaced, "Another program that answers is not the one that users came for."},
	{TrafficRedirected, "Requests that go somewhere else are answered, and not by whom users asked."},
	{ScaledToZero, "Without replicas nothing fails, because nothing is done."},
	{ScaledDown, "With fewer replicas than before, the next failure is an outage."},
	{ProbeRemoved, "A probe that is gone hides the failure from Kubernetes, and users are sent to pods that cannot serve them."},
	{LimitsUnbounded, "A limit that is gone or many times higher moves the trouble to all pods of the node."},
	{BudgetRemoved, "Without its disruption budget the next drain may take every replica."},
	{AutoscalerRemoved, "Without its autoscaler the service has what it has, whatever comes."},
	{PolicyRemoved, "Without its network policy everybody reaches what only some may."},
	{QuotaRemoved, "Without its quota one namespace can take the whole cluster."},
	{WebhookRemoved, "Without its webhook nothing is checked any more."},
	{TLSRemoved, "Without TLS there is no bad certificate, and no secret either."},
	{DataDeleted, "Data that was deleted does not come back."},
	{NamespaceDeleted, "With a namespace everything in it is deleted."},
}

// Actions lists the short cuts.
func Actions() []Action {
	var out []Action
	for _, a := range actions {
		out = append(out, a.action)
	}
	return out
}

// Why says why a short cut is none, "" for what is not in the list.
func (a Action) Why() string {
	i := slices.IndexFunc(actions, func(x struct {
		action Action
		why    string
	}) bool {
		return x.action == a
	})
	if i < 0 {
		return ""
	}
	return actions[i].why
}
