package local

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// base is known to every part of a shelf. Nothing in it changes while the shelf is
// open, except for the ledger.
type base struct {
	Options
	dir    *Directory
	codec  *block.Codec
	choice block.Choice // which attributes have tokens
	damage *ledger
	vault  *vault

	closing context.Context // ends when Close begins
	working context.Context // ends closePatience later: work under way may finish
}

// closePatience is how long work that is under way when Close begins may still ask
// the rules.
const closePatience = 10 * time.Second

// leave notes that the key of an account is away, and logs it once.
func (b *base) leave(account trace.Account, err error) {
	if b.vault.leave(account, err, b.Now()) {
		b.Logger.Error("an account cannot be read or written: its key is away", "account", account, "reason", err)
	}
}

// key names a trace: no lookup is possible without an account.
type key struct {
	account trace.Account
	id      trace.ID
}

func errClosed() error { return trace.Errorf(trace.KindUnavailable, "the store is shut down") }

func unavailable(reason string) error {
	return trace.Errorf(trace.KindUnavailable, "segments cannot be stored now: %s", reason)
}
