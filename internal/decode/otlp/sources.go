package otlp

import (
	"bytes"
	"sync"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// sources caches parsed resources and scopes: a process sends the same ones with every
// request, and they are longer than its spans. The segments of all requests share them.
// A full cache starts again empty.
type sources struct {
	mu    sync.RWMutex
	known map[string]*source
	bytes int
}

const (
	maxSource  = 8 << 10 // bytes of a resource or scope in the cache
	maxSources = 4 << 20 // of all
	maxScopes  = 32      // of a resource

	sourceBytes = 1 << 10 // of a parsed resource, besides its texts
	scopeBytes  = 128     // of a parsed scope
)

// source is a resource with the scopes seen below it.
type source struct {
	of     *sources
	res    *resource
	mu     sync.RWMutex
	scopes []*trace.OTLPScope
}

// source returns the parsed resource, from the cache if there is an equal one. It does
// not keep b.
func (m *Mapper) source(b []byte) (*source, error) {
	m.sources.mu.RLock()
	s := m.sources.known[string(b)]
	m.sources.mu.RUnlock()
	if s != nil {
		return s, nil
	}
	res, err := m.parseResource(&trace.OTLPScope{Resource: bytes.Clone(b)})
	if err != nil {
		return nil, err
	}
	s = &source{of: &m.sources, res: res}
	if len(b) > maxSource {
		return s, nil
	}
	m.sources.mu.Lock()
	defer m.sources.mu.Unlock()
	if same := m.sources.known[string(b)]; same != nil {
		return same, nil // another request was faster
	}
	m.sources.take(len(b)*4 + sourceBytes) // parsed it is larger
	m.sources.known[string(b)] = s
	return s, nil
}

// take counts cached bytes and empties the cache if there are too many. The caller holds
// the mutex.
func (s *sources) take(n int) {
	if s.bytes += n; s.known == nil || s.bytes > maxSources {
		s.known, s.bytes = map[string]*source{}, n
	}
}

// scope returns the scope of spans, an earlier equal one if it can. It does not keep b.
func (s *source) scope(b []byte, resourceSchema, scopeSchema []byte) *trace.OTLPScope {
	find := func() *trace.OTLPScope {
		for _, o := range s.scopes {
			if bytes.Equal(o.Scope, b) && o.ResourceSchema == string(resourceSchema) && o.ScopeSchema == string(scopeSchema) {
				return o
			}
		}
		return nil
	}
	s.mu.RLock()
	o := find()
	s.mu.RUnlock()
	if o != nil {
		return o
	}
	o = &trace.OTLPScope{Resource: s.res.scope.Resource, Scope: bytes.Clone(b), ResourceSchema: Text(bytes.Clone(resourceSchema)), ScopeSchema: Text(bytes.Clone(scopeSchema))}
	if len(b)+len(resourceSchema)+len(scopeSchema) > maxSource {
		return o
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if same := find(); same != nil {
		return same
	}
	if len(s.scopes) >= maxScopes {
		s.scopes = nil // a new slice: others may read the old one
	}
	s.scopes = append(s.scopes[:len(s.scopes):len(s.scopes)], o)
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.take(len(b) + len(resourceSchema) + len(scopeSchema) + scopeBytes)
	return o
}
