package packetfilter

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Packets counts those that the rules of tables have matched since they were made.
func Packets(path string, tables ...Table) (uint64, error) {
	var sum uint64
	err := with(path, func(c *nftables.Conn) error {
		for i := range tables {
			n, err := packets(c, &tables[i])
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	})
	return sum, err
}

func packets(c *nftables.Conn, t *Table) (sum uint64, err error) {
	table := kernelTable(t)
	for i := range t.Chains {
		rules, err := c.GetRules(table, &nftables.Chain{Name: t.Chains[i].Name, Table: table})
		if err != nil {
			return 0, fmt.Errorf("read packet filter %s %s: %w", t.Family, t.Name, err)
		}
		if len(rules) == 0 {
			return 0, fmt.Errorf("packet filter %s %s has no rules in %s", t.Family, t.Name, t.Chains[i].Name)
		}
		for _, r := range rules {
			for _, e := range r.Exprs {
				if n, ok := e.(*expr.Counter); ok {
					sum += n.Packets
				}
			}
		}
	}
	return sum, nil
}
