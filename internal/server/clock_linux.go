package server

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/compliance"
	"golang.org/x/sys/unix"
)

// clockFacts asks the kernel whether something synchronises the clock (adjtimex(2)).
func clockFacts(context.Context) ([]compliance.Fact, error) {
	var t unix.Timex // reads only: no modes are set
	if _, err := unix.Adjtimex(&t); err != nil {
		return nil, err
	}
	if t.Status&unix.STA_UNSYNC != 0 {
		return []compliance.Fact{fact("synchronisation", false, "the kernel says that nothing synchronises the clock")}, nil
	}
	return []compliance.Fact{fact("synchronisation", true, "synchronised, estimated error %d µs", t.Esterror)}, nil
}
