package visitor

import "container/list"

// table remembers so many things by key; the one that was not looked up for
// longest makes room for a new one.
type table[K comparable, V any] struct {
	max    int
	byKey  map[K]*list.Element
	recent list.List // of *row[K, V], the latest first
	forget func(K, *V)
}

type row[K comparable, V any] struct {
	key   K
	value V
}

// get finds what belongs to a key, or makes it.
func (t *table[K, V]) get(key K) *V {
	if v := t.find(key); v != nil {
		return v
	}
	if t.byKey == nil {
		t.byKey = map[K]*list.Element{}
	}
	if len(t.byKey) >= t.max {
		last := t.recent.Back()
		r := t.recent.Remove(last).(*row[K, V])
		delete(t.byKey, r.key)
		if t.forget != nil {
			t.forget(r.key, &r.value)
		}
	}
	r := &row[K, V]{key: key}
	t.byKey[key] = t.recent.PushFront(r)
	return &r.value
}

// find is get for what is there; nil otherwise.
func (t *table[K, V]) find(key K) *V {
	e := t.byKey[key]
	if e == nil {
		return nil
	}
	t.recent.MoveToFront(e)
	return &e.Value.(*row[K, V]).value
}

func (t *table[K, V]) len() int { return len(t.byKey) }
