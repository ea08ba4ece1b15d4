package sample

import "github.com/fluoro-io/fluoro/internal/trace"

// States returns the number of rules of an account with remembered state.
func (s *Sampler) States(account trace.Account) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.states[account])
}
