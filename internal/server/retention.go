package server

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// longest returns the longest time that any trace is kept.
func (s *server) longest() time.Duration {
	d := s.config.Retention
	for _, r := range s.config.RetentionFor {
		d = max(d, r.For)
	}
	return d
}

// keep returns the function that tells the store how long to keep the traces of an
// account; nil if all are kept for the same time.
func (s *server) keep() func(context.Context, trace.Account) (answer.Keep, error) {
	if len(s.config.RetentionFor) == 0 {
		return nil
	}
	return func(ctx context.Context, account trace.Account) (answer.Keep, error) {
		k := answer.Keep{Default: s.config.Retention}
		for _, r := range s.config.RetentionFor {
			switch {
			case r.Account == string(account):
				k.Default = r.For
			case r.Group != "":
				versions, err := s.groups.History(ctx, account, r.Group, "")
				if err != nil {
					return answer.Keep{}, err
				}
				if len(versions) > 0 {
					k.Groups = append(k.Groups, answer.GroupKeep{Group: &answer.Group{Versions: versionsOf(versions)}, For: r.For})
				}
			}
		}
		return k, nil
	}
}
