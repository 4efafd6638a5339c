package labfile

import (
	"fmt"
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// MemoryBytes is the node's memory in bytes, 0 if Memory is not a quantity
// (which cannot happen to a node that came from Parse or Profile).
func (n *Node) MemoryBytes() int64 { return bytesOrZero(n.Memory) }

// DiskBytes is the size of the node's disk in bytes, 0 if Disk is not a
// quantity (which cannot happen to a node that came from Parse or Profile).
func (n *Node) DiskBytes() int64 { return bytesOrZero(n.Disk) }

func bytesOrZero(s string) int64 {
	n, err := parseBytes(s)
	if err != nil {
		return 0
	}
	return n
}

// parseBytes reads a Kubernetes quantity that stands for a whole, positive
// number of bytes.
func parseBytes(s string) (int64, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("not a quantity")
	}
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return 0, fmt.Errorf("too large")
	}
	n, ok := q.AsInt64()
	if !ok {
		// Quantities such as 1.5Gi are kept as decimals; Value rounds up, so a
		// round trip tells whether it was whole.
		n = q.Value()
		if q.CmpInt64(n) != 0 {
			return 0, fmt.Errorf("not a whole number of bytes")
		}
	}
	if n <= 0 {
		return 0, fmt.Errorf("not positive")
	}
	return n, nil
}
