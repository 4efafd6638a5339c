// Package shop holds the manifests of the shop: a Helm chart, which is what they are
// written in, and a Kustomize base with overlays, which a test makes of the chart's
// output and proves equal to it, object by object.
package shop

import "embed"

// Chart is the Helm chart, below the directory "chart".
//
//go:embed all:chart
var Chart embed.FS
