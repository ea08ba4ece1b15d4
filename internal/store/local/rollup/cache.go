package rollup

import (
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/lru"
)

// Cache keeps recently used pages of all rollups of a store, with limited memory.
type Cache struct {
	files atomic.Uint64
	pages *lru.Cache[cacheKey, *decoded]
}

// cacheKey identifies a page: file numbers are never reused.
type cacheKey struct {
	file uint64
	at   int64
}

// NewCache makes a cache with a limit in bytes.
func NewCache(limit int64) *Cache {
	return &Cache{pages: lru.New[cacheKey, *decoded](limit, limit/2)}
}
