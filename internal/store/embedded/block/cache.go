package block

import (
	"container/list"
	"sync"
)

// Cache keeps decompressed chunks, the least used leave first. Its methods may be
// called by many goroutines.
type Cache struct {
	mu      sync.Mutex
	max     int
	size    int
	order   *list.List // of *cached, most used in front
	entries map[cacheKey]*list.Element
}

type cacheKey struct {
	block *Block
	chunk uint32
}

type cached struct {
	key  cacheKey
	data []byte
}

// NewCache makes a cache of at most maxBytes.
func NewCache(maxBytes int) *Cache {
	return &Cache{max: maxBytes, order: list.New(), entries: map[cacheKey]*list.Element{}}
}

func (c *Cache) get(b *Block, chunk uint32) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[cacheKey{b, chunk}]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).data
}

func (c *Cache) put(b *Block, chunk uint32, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := cacheKey{b, chunk}
	if c.entries[key] != nil || len(data) > c.max/4 {
		return
	}
	c.entries[key] = c.order.PushFront(&cached{key, data})
	c.size += len(data)
	for c.size > c.max {
		c.drop(c.order.Back())
	}
}

// Forget drops all chunks of a block.
func (c *Cache) Forget(b *Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.entries {
		if key.block == b {
			c.drop(e)
		}
	}
}

func (c *Cache) drop(e *list.Element) {
	v := c.order.Remove(e).(*cached)
	delete(c.entries, v.key)
	c.size -= len(v.data)
}
