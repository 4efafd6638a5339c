package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zdl/internal/cluster"
	"zdl/internal/fault"
)

// ask reads from the daemon on behalf of a shell, which does not wait long.
func (a *app) ask(cmd *cobra.Command, path string, into any) bool {
	client, err := a.connect(cmd)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	return client.Do(ctx, http.MethodGet, path, nil, into) == nil
}

// completeKinds lets shells complete kinds of faults.
func (a *app) completeKinds(cmd *cobra.Command, words []string, _ string) ([]string, cobra.ShellCompDirective) {
	var kinds []fault.Kind
	if len(words) > 0 || !a.ask(cmd, "/api/v1/faults", &kinds) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, k := range kinds {
		if k.Unavailable == "" && k.Name != "compound" {
			out = append(out, k.Name+"\t"+k.Summary)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeAttack lets shells complete a kind, then a target of it.
func (a *app) completeAttack(cmd *cobra.Command, words []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(words) == 0 {
		return a.completeKinds(cmd, words, typed)
	}
	var kind fault.Kind
	var s cluster.Snapshot
	if len(words) > 1 || !a.ask(cmd, "/api/v1/faults/"+words[0], &kind) || !a.ask(cmd, "/api/v1/snapshot", &s) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	switch kind.Targets {
	case "pod", "container":
		out = append(out, "any")
		for _, p := range s.TargetPods() {
			out = append(out, p.Name)
		}
	case "zone":
		for _, z := range s.Zones {
			out = append(out, z.Name)
		}
	case "node", "machine":
		for _, n := range s.Nodes() {
			out = append(out, n.Name)
		}
		for _, m := range s.Machines {
			if kind.Targets == "machine" || strings.Contains(kind.TargetHelp, "MACHINE") {
				out = append(out, m.Name)
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeActive lets shells complete attacks that can be healed.
func (a *app) completeActive(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var all []fault.Attack
	if !a.ask(cmd, "/api/v1/attacks", &all) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for i := range all {
		if x := &all[i]; !x.State.Over() {
			out = append(out, x.ID+"\t"+x.Kind+" on "+targets(x.Targets))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
