package lab

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"zdl/internal/cause"
	"zdl/internal/cluster/local"
	"zdl/internal/cluster/local/controlplane"
	"zdl/internal/labfile"
	"zdl/internal/topology"
)

// settingsReader reads the settings in force that decide how long an outage
// lasts: from the objects and files of the running lab. What cannot be read at
// the moment keeps the value it had.
type settingsReader struct {
	client   kubernetes.Interface
	observer *local.Observer
	timing   labfile.Timing

	mu   sync.Mutex
	last cause.Settings
}

// settingsPatience bounds the reading: an explanation without the latest values
// is better than none while no API server answers.
const settingsPatience = 2 * time.Second

func (r *settingsReader) read(ctx context.Context) cause.Settings {
	ctx, cancel := context.WithTimeout(ctx, settingsPatience)
	defer cancel()
	now := cause.Settings{}
	r.target(ctx, now)
	r.controlPlane(ctx, now)
	r.ingress(ctx, now)
	r.edge(now)
	t := controlplane.Timings(r.timing)
	now[cause.NodeLease] = cause.Setting{Name: "nodeLeaseDurationSeconds", Value: fmt.Sprintf("%d s, renewed each quarter of it", t.NodeLeaseSeconds), Where: "kubelet's config.yaml"}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = cause.Settings{}
	}
	maps.Copy(r.last, now)
	return maps.Clone(r.last)
}

// target reads what the service's own pods ask for, defaults filled in by the
// API server included.
func (r *settingsReader) target(ctx context.Context, out cause.Settings) {
	pods, err := r.client.CoreV1().Pods(targetNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + targetService})
	if err != nil || len(pods.Items) == 0 {
		return
	}
	pod := &pods.Items[len(pods.Items)-1]
	const where = "pods of Deployment web/web"
	for _, c := range pod.Spec.Containers {
		if p := c.ReadinessProbe; p != nil {
			out[cause.Readiness] = cause.Setting{Name: "readinessProbe.periodSeconds × failureThreshold",
				Value: fmt.Sprintf("%d s × %d", p.PeriodSeconds, p.FailureThreshold), Where: where}
			out[cause.Readied] = cause.Setting{Name: "readinessProbe.initialDelaySeconds, periodSeconds × successThreshold",
				Value: fmt.Sprintf("%d s, %d s × %d", p.InitialDelaySeconds, p.PeriodSeconds, p.SuccessThreshold), Where: where}
		}
		grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
		if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
			grace = *g
		}
		value := fmt.Sprintf("%d s", grace)
		if l := c.Lifecycle; l != nil && l.PreStop != nil && l.PreStop.Sleep != nil {
			value += fmt.Sprintf(", preStop sleeps %d s", l.PreStop.Sleep.Seconds)
		}
		out[cause.Termination] = cause.Setting{Name: "terminationGracePeriodSeconds, preStop", Value: value, Where: where}
	}
	for _, t := range pod.Spec.Tolerations {
		if t.Key == corev1.TaintNodeUnreachable && t.TolerationSeconds != nil {
			out[cause.Toleration] = cause.Setting{Name: "tolerationSeconds of " + t.Key, Value: fmt.Sprintf("%d s", *t.TolerationSeconds), Where: where}
		}
	}
	out[cause.RestartDelays] = cause.Setting{Name: "restartPolicy, crash back-off", Value: string(pod.Spec.RestartPolicy) + ", at once and then 10 s, 20 s, … 5 min", Where: where}
}

// controlPlane reads the flags of the static pods; where one is not given, the
// program's default is in force.
func (r *settingsReader) controlPlane(ctx context.Context, out cause.Settings) {
	flag := func(component, name, standard string) string {
		pods, err := r.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=" + component, Limit: 1})
		if err != nil || len(pods.Items) == 0 {
			return ""
		}
		for _, c := range pods.Items[0].Spec.Containers {
			for _, a := range append(c.Command, c.Args...) {
				if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
					return value
				}
			}
		}
		return standard + " (default)"
	}
	set := func(k cause.Knob, name, value, where string) {
		if value != "" {
			out[k] = cause.Setting{Name: name, Value: value, Where: where}
		}
	}
	const manager = "kube-controller-manager"
	set(cause.NodeGrace, "--node-monitor-grace-period", flag(manager, "node-monitor-grace-period", "50s"), manager)
	set(cause.LeaderLease, "--leader-elect-lease-duration", flag(manager, "leader-elect-lease-duration", "15s"), manager)
	set(cause.SliceBatch, "--endpointslice-updates-batch-period", flag(manager, "endpointslice-updates-batch-period", "0s"), manager)
	if timeout := flag("etcd", "election-timeout", "1000"); timeout != "" {
		beat := flag("etcd", "heartbeat-interval", "100")
		set(cause.EtcdElection, "--election-timeout, --heartbeat-interval", timeout+" ms, "+beat+" ms", "etcd")
	}
}

func (r *settingsReader) ingress(ctx context.Context, out cause.Settings) {
	d, err := r.client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "skipper-ingress", metav1.GetOptions{})
	if err != nil {
		return
	}
	value := "3000 ms (default)"
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, a := range c.Args {
			if v, ok := strings.CutPrefix(a, "-source-poll-timeout="); ok {
				value = v + " ms"
			}
		}
	}
	out[cause.IngressPoll] = cause.Setting{Name: "-source-poll-timeout", Value: value, Where: "Deployment kube-system/skipper-ingress"}
}

var (
	checkTimes = regexp.MustCompile(`(?m)^\s*default-server (.*)$`)
	advertise  = regexp.MustCompile(`(?m)^\s*advert_int (\S+)`)
)

// edge reads the files of the load balancers as they run.
func (r *settingsReader) edge(out cause.Settings) {
	if data, machine, err := r.observer.File(topology.KindEdge, "/etc/haproxy/haproxy.cfg"); err == nil {
		if m := checkTimes.FindSubmatch(data); m != nil {
			value := strings.TrimSpace(string(m[1]))
			out[cause.BackendFall] = cause.Setting{Name: "inter, fastinter, fall", Value: value, Where: "haproxy.cfg of " + machine}
			out[cause.BackendRise] = cause.Setting{Name: "downinter, rise", Value: value, Where: "haproxy.cfg of " + machine}
		}
	}
	if data, machine, err := r.observer.File(topology.KindEdge, "/etc/keepalived/keepalived.conf"); err == nil {
		if m := advertise.FindSubmatch(data); m != nil {
			out[cause.VRRP] = cause.Setting{Name: "advert_int", Value: string(m[1]) + " s, three of them missed and a skew", Where: "keepalived.conf of " + machine}
		}
	}
}
