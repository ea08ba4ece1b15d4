// Package lru caches recently used values, with limited memory.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps values by key and evicts the least recently used first. It may be
// used by many goroutines, which share the values.
type Cache[K comparable, V any] struct {
	limit, most int64

	mu    sync.Mutex
	used  int64
	items map[K]*list.Element
	order list.List // of *item[K, V], most recently used first
}

type item[K comparable, V any] struct {
	key   K
	value V
	bytes int64
}

// New makes a cache of limit bytes that ignores values of more than most bytes.
func New[K comparable, V any](limit, most int64) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, most: most, items: map[K]*list.Element{}}
}

// Get returns the value of a key, the zero value if it is not cached.
func (c *Cache[K, V]) Get(k K) (v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[k]
	if e == nil {
		return v
	}
	c.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value
}

// Put caches a value of the given size and replaces the key's old value.
func (c *Cache[K, V]) Put(k K, v V, bytes int64) {
	if bytes > c.most {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[k]; e != nil {
		c.remove(e)
	}
	c.items[k] = c.order.PushFront(&item[K, V]{k, v, bytes})
	for c.used += bytes; c.used > c.limit; {
		c.remove(c.order.Back())
	}
}

func (c *Cache[K, V]) remove(e *list.Element) {
	old := c.order.Remove(e).(*item[K, V])
	delete(c.items, old.key)
	c.used -= old.bytes
}
