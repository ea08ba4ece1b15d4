package server

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// history tells queries what belongs to a group: the filters that it has had,
// each for what was received while it was valid.
func history(groups *group.Groups) query.History {
	return func(ctx context.Context, account trace.Account, name, arn string) (*store.Group, bool, error) {
		d := groups.Default(account)
		if (name == "" || name == d.Name) && (arn == "" || arn == d.ARN) {
			return nil, true, nil
		}
		versions, err := groups.History(ctx, account, name, arn)
		if err != nil || len(versions) == 0 {
			return nil, false, err
		}
		out := &store.Group{}
		for _, v := range versions {
			out.Versions = append(out.Versions, store.GroupVersion{Filter: v.Filter, Received: trace.Window{Start: v.From, End: v.Until}, Old: v.Until != trace.MaxTime})
		}
		return out, true, nil
	}
}
