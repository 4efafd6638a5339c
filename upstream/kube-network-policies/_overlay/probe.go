package main

import (
	"fmt"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// This file is added to the program at build time. Before
// anything else it finds out which way of queueing this kernel understands.
func init() {
	native := tryQueue()
	if native == nil {
		return
	}
	expr.QueueByTarget = true
	if target := tryQueue(); target != nil {
		// Neither works, perhaps for want of privilege: let the original say so.
		expr.QueueByTarget = false
		fmt.Fprintf(os.Stderr, "this kernel accepts neither nft's queue expression (%v) nor the target NFQUEUE (%v)\n", native, target)
		return
	}
	fmt.Fprintln(os.Stderr, "this kernel lacks nft's queue expression; using the target NFQUEUE instead")
}

// tryQueue makes and deletes a table with a queueing rule in one transaction,
// which leaves nothing behind whether it succeeds or fails.
func tryQueue() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: fmt.Sprintf("queue-probe-%d", os.Getpid()), Family: nftables.TableFamilyINet})
	chain := conn.AddChain(&nftables.Chain{Name: "probe", Table: table})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Queue{Num: 0, Flag: expr.QueueFlagBypass},
	}})
	conn.DelTable(table)
	return conn.Flush()
}
