package otlp

import (
	"bytes"
	"sync"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// sources keeps the resources and scopes that spans came from, taken apart: a
// process says the same of itself in every request, at more length than of its
// spans. Segments of all requests share them. It is bounded and forgets all when it
// is full.
type sources struct {
	mu    sync.RWMutex
	known map[string]*source
	bytes int
}

const (
	maxSource  = 8 << 10 // bytes of a resource or scope that is kept
	maxSources = 4 << 20 // of all
	maxScopes  = 32      // of a resource

	sourceBytes = 1 << 10 // of what a resource is taken apart into, besides its texts
	scopeBytes  = 128     // of a scope, likewise
)

// source is a resource and the scopes met with it.
type source struct {
	of     *sources
	res    *resource
	mu     sync.RWMutex
	scopes []*trace.OTLPScope
}

// source takes a resource apart, or finds one that is equal. b is not kept.
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
	m.sources.take(len(b)*4 + sourceBytes) // apart it takes more
	m.sources.known[string(b)] = s
	return s, nil
}

// take counts what is kept, and forgets all if that is too much. The mutex is held.
func (s *sources) take(n int) {
	if s.bytes += n; s.known == nil || s.bytes > maxSources {
		s.known, s.bytes = map[string]*source{}, n
	}
}

// scope is the scope of spans, shared with earlier ones that are equal. b is not
// kept.
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
		s.scopes = nil // a new slice: others may look at the old one
	}
	s.scopes = append(s.scopes[:len(s.scopes):len(s.scopes)], o)
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.take(len(b) + len(resourceSchema) + len(scopeSchema) + scopeBytes)
	return o
}
