package sample

import "github.com/fluoro-io/fluoro/internal/trace"

// States returns how many rules of an account something is remembered of.
func (s *Sampler) States(account trace.Account) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.states[account])
}
