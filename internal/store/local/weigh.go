package local

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// bigView is the weight from which traces are assembled one at a time: many
// readers of large traces then take the memory of a few.
const bigView = 4 << 20

// weight is about how much memory a trace takes when it is assembled.
func (src *source) weight() (bytes int64) {
	for i := range src.parts {
		bytes += src.parts[i].bytes
	}
	if b := src.base.block; b != nil {
		bytes += int64(b.Entry(src.base.entry).Segments)*entityBytes + b.Weight(src.base.entry)*3/2
	}
	return bytes
}

// Weigh is about how much memory traces take together when they are assembled.
func (s *Store) Weigh(_ context.Context, account trace.Account, ids []trace.ID) (bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range ids {
		if src, ok := s.locate(key{account, id}); ok {
			bytes += src.weight()
			src.release()
		}
	}
	return bytes
}
