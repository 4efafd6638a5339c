package catalogue

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zdl/internal/artifact"
	"zdl/internal/cluster"
	"zdl/internal/cluster/local"
	"zdl/internal/fault"
	"zdl/internal/fault/step"
	"zdl/internal/labfile"
)

const (
	document = "../../../docs/faults.md"
	begin    = "<!-- begin: catalogue (go test ./internal/fault/catalogue -run Document with ZDL_UPDATE=1 writes it) -->\n"
	end      = "<!-- end: catalogue -->\n"
)

// documentedKinds is the catalogue of a lab of the profile ha.
func documentedKinds(t *testing.T) []fault.Kind {
	t.Helper()
	lab, err := labfile.Profile("ha")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := local.New(local.Config{Name: "docs-test", Lab: lab, Set: &artifact.Set{}, StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run")})
	w := &step.World{Local: c, Dir: filepath.Join(dir, "kept"), Snapshot: func() cluster.Snapshot { return cluster.Snapshot{} }}
	w.Capabilities = []cluster.Capability{cluster.CapabilityAPI, cluster.CapabilityPower, cluster.CapabilityLink, cluster.CapabilityDisk, cluster.CapabilityExec}
	return Kinds(w)
}

func TestTheDocumentHoldsTheCatalogue(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no markers for the catalogue", document)
	}
	now := "\n" + fault.Markdown(documentedKinds(t)) + "\n"
	if old == now {
		return
	}
	if os.Getenv("ZDL_UPDATE") != "" {
		if err := os.WriteFile(document, []byte(head+begin+now+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the catalogue in %s is stale; ZDL_UPDATE=1 go test ./internal/fault/catalogue -run Document writes it", document)
}

// Every kind says what a user must know.
func TestEveryKindDescribesItself(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range documentedKinds(t) {
		if seen[k.Name] {
			t.Errorf("%s is there twice", k.Name)
		}
		seen[k.Name] = true
		if k.Summary == "" || k.Effect == "" || k.Layer == "" || !strings.HasSuffix(k.Summary, ".") || !strings.HasSuffix(k.Effect, ".") {
			t.Errorf("%s: summary %q, effect %q, layer %q", k.Name, k.Summary, k.Effect, k.Layer)
		}
		if k.Unavailable == "" && (k.Find == nil) != (k.Targets == "") || k.Targets != "" && k.TargetHelp == "" {
			t.Errorf("%s: targets %q, help %q, Find %v", k.Name, k.Targets, k.TargetHelp, k.Find != nil)
		}
		for _, p := range k.Params {
			if p.Help == "" || p.Type == "" || p.Type == fault.Choice && len(p.Choices) == 0 || p.Required && p.Default != "" {
				t.Errorf("%s: parameter %+v", k.Name, p)
			}
		}
	}
	for _, name := range strings.Fields(demanded) {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// demanded are the names that users know from elsewhere.
const demanded = `pod-kill container-kill pod-failure pod-freeze pod-cpu-stress pod-memory-stress pod-network-delay pod-network-loss
pod-network-duplicate pod-network-corrupt pod-network-reorder pod-network-bandwidth pod-network-partition pod-dns-error pod-dns-random pod-disk-fill
node-power-off node-reboot node-freeze node-drain node-cordon kubelet-stop runtime-stop kube-proxy-stop node-cpu-stress node-memory-stress
node-network-delay node-network-loss node-network-duplicate node-network-corrupt node-network-reorder node-network-bandwidth node-link-down
node-disk-latency node-disk-error node-disk-fill node-pid-exhaustion partition zone-switch-down zone-network-delay router-down link-flap
zone-power-off zone-isolate lb-process-kill edge-power-off vip-flap backend-healthcheck-blind ingress-controller-kill ingress-certificate-expired
ingress-route-lost coredns-kill dns-delay dns-nxdomain dns-stale apiserver-kill apiserver-freeze apiserver-one-of-three-gray scheduler-leader-kill
controller-manager-leader-kill lease-loss webhook-hang certificate-expired apiserver-etcd-delay etcd-member-kill etcd-leader-kill etcd-leader-isolate
etcd-quorum-loss etcd-slow-disk etcd-nospace etcd-member-data-loss scale-to-zero bad-image-rollout selector-mismatch network-policy-deny
resource-quota taint secret-missing-key configmap-broken service-account-revoked compound`
