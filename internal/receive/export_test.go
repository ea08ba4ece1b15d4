package receive

import "github.com/fluoro-io/fluoro/internal/trace"

// Admit takes n bytes of the room, like other requests of the account "0".
func (in *Intake) Admit(n int64) (release func(), err error) { return in.AdmitFor("0", n) }

// AdmitFor takes n bytes of the room for an account.
func (in *Intake) AdmitFor(account trace.Account, n int64) (release func(), err error) {
	r := &reservation{in: in, account: account}
	return r.release, r.take(n)
}
