package shape

// queue holds frames by the time of their departure; those of the same time
// keep their order. It is a binary heap in a slice that is used again and
// again, since the relay must not make garbage.
type queue[F any] struct {
	items []entry[F]
	count uint64
}

type entry[F any] struct {
	at    int64
	seq   uint64
	flip  int
	frame F
}

func (q *queue[F]) len() int { return len(q.items) }

func (q *queue[F]) before(i, j int) bool {
	a, b := &q.items[i], &q.items[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (q *queue[F]) push(at int64, e entry[F]) {
	q.count++
	e.at, e.seq = at, q.count
	q.items = append(q.items, e)
	for i := len(q.items) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.before(i, parent) {
			return
		}
		q.items[i], q.items[parent] = q.items[parent], q.items[i]
		i = parent
	}
}

func (q *queue[F]) pop() entry[F] {
	top := q.items[0]
	last := len(q.items) - 1
	q.items[0] = q.items[last]
	q.items[last] = entry[F]{} // let go of the frame
	q.items = q.items[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && q.before(child+1, child) {
			child++
		}
		if !q.before(child, i) {
			return top
		}
		q.items[i], q.items[child] = q.items[child], q.items[i]
		i = child
	}
}
