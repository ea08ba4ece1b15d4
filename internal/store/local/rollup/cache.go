package rollup

import (
	"container/list"
	"sync"
)

// Cache keeps pages that were used lately, bounded by their memory, for all
// rollups of a store.
type Cache struct {
	limit int64

	mu    sync.Mutex
	used  int64
	files uint64
	pages map[cacheKey]*list.Element
	order list.List // most lately used first
}

type cacheKey struct {
	file uint64
	at   int64
}

type cached struct {
	key  cacheKey
	page *decoded
}

// NewCache makes a cache of so many bytes.
func NewCache(limit int64) *Cache { return &Cache{limit: limit, pages: map[cacheKey]*list.Element{}} }

// next is a number for a file, never used again.
func (c *Cache) next() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files++
	return c.files
}

func (c *Cache) get(file uint64, at int64) *decoded {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.pages[cacheKey{file, at}]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).page
}

func (c *Cache) put(file uint64, at int64, p *decoded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cacheKey{file, at}
	if p.bytes > c.limit/2 || c.pages[k] != nil {
		return
	}
	c.pages[k] = c.order.PushFront(&cached{k, p})
	for c.used += p.bytes; c.used > c.limit; {
		oldest := c.order.Remove(c.order.Back()).(*cached)
		delete(c.pages, oldest.key)
		c.used -= oldest.page.bytes
	}
}
