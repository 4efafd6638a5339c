package ha

import (
	"context"
	"fmt"
	"testing"
	"time"

	"zdl/test/harness"
)

// toolbox is the manifest of a pod with a shell. Script is its main process;
// extra is further YAML of the pod's spec in flow style, beginning with a comma,
// or "".
func toolbox(t *testing.T, l *harness.Lab, namespace, name, script, extra string) string {
	t.Helper()
	return fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, labels: {app: %s}}, spec: {
  terminationGracePeriodSeconds: 0, automountServiceAccountToken: false,
  containers: [{name: main, image: %q, imagePullPolicy: Never, command: [/bin/sh, -c, %q]}]%s}}
---
`, name, namespace, name, l.Image(t, "toolbox"), script, extra)
}

// serve is a script that answers every HTTP request on port 8080 with a page.
const serve = `mkdir -p /tmp/www && echo here > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www`

// onNode places a pod for toolbox.
func onNode(name string) string { return ", nodeName: " + name }

func waitFor(t *testing.T, what string, limit time.Duration, ok func(context.Context) error) {
	t.Helper()
	harness.Eventually(t, what, limit, ok)
}
