package cause

// Knob names a setting that decides how long a step takes.
type Knob string

const (
	Readiness     Knob = "readiness"      // how the kubelet finds out that a container does not serve
	Readied       Knob = "readied"        // and that it does
	Termination   Knob = "termination"    // how long a pod may take to stop
	NodeGrace     Knob = "node-grace"     // silence after which a node counts as lost
	NodeLease     Knob = "node-lease"     // a kubelet's sign of life
	Toleration    Knob = "toleration"     // how long pods stay on a lost node
	IngressPoll   Knob = "ingress-poll"   // how often the ingress looks at endpoints
	BackendFall   Knob = "backend-fall"   // HAProxy's health check, until a server is out
	BackendRise   Knob = "backend-rise"   // and until it is back
	VRRP          Knob = "vrrp"           // how fast a virtual IP moves
	EtcdElection  Knob = "etcd-election"  // silence after which etcd elects
	LeaderLease   Knob = "leader-lease"   // of scheduler and controller manager
	Duration      Knob = "fault-duration" // how long the fault itself was asked to last
	SliceBatch    Knob = "slice-batch"    // how long EndpointSlice changes are collected
	RestartDelays Knob = "restart"        // of a crashed container
)

// Setting is a setting with its value in force.
type Setting struct {
	Name  string `json:"name"`  // as people write it in manifests and flags
	Value string `json:"value"` // with units; "unknown" when it could not be read
	Where string `json:"where"` // the object or file that holds it
}

// Settings are the settings in force in a lab.
type Settings map[Knob]Setting

// names of settings whose value is not known.
var names = map[Knob]Setting{
	Readiness:     {Name: "readinessProbe.periodSeconds × failureThreshold", Where: "pod"},
	Readied:       {Name: "readinessProbe.initialDelaySeconds, periodSeconds × successThreshold", Where: "pod"},
	Termination:   {Name: "terminationGracePeriodSeconds, preStop", Where: "pod"},
	NodeGrace:     {Name: "--node-monitor-grace-period", Where: "kube-controller-manager"},
	NodeLease:     {Name: "nodeLeaseDurationSeconds", Where: "kubelet"},
	Toleration:    {Name: "tolerationSeconds of node.kubernetes.io/unreachable", Where: "pod"},
	IngressPoll:   {Name: "-source-poll-timeout", Where: "ingress controller"},
	BackendFall:   {Name: "inter, fastinter, fall", Where: "haproxy.cfg"},
	BackendRise:   {Name: "downinter, rise", Where: "haproxy.cfg"},
	VRRP:          {Name: "advert_int", Where: "keepalived.conf"},
	EtcdElection:  {Name: "--heartbeat-interval, --election-timeout", Where: "etcd"},
	LeaderLease:   {Name: "--leader-elect-lease-duration", Where: "kube-controller-manager, kube-scheduler"},
	Duration:      {Name: "--for", Where: "the attack"},
	SliceBatch:    {Name: "--endpointslice-updates-batch-period", Where: "kube-controller-manager"},
	RestartDelays: {Name: "restartPolicy, crash back-off", Where: "pod"},
}

// Unknown is what is said of a value that could not be read.
const Unknown = "unknown"

func (s Settings) get(k Knob) Setting {
	if v, ok := s[k]; ok {
		return v
	}
	v := names[k]
	v.Value = Unknown
	return v
}
