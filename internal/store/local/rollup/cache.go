package rollup

import (
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/lru"
)

// Cache keeps pages that were used lately, bounded by their memory, for all
// rollups of a store.
type Cache struct {
	files atomic.Uint64
	pages *lru.Cache[cacheKey, *decoded]
}

// cacheKey names a page: the number of a file is never used again.
type cacheKey struct {
	file uint64
	at   int64
}

// NewCache makes a cache of so many bytes.
func NewCache(limit int64) *Cache {
	return &Cache{pages: lru.New[cacheKey, *decoded](limit, limit/2)}
}
