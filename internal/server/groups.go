package server

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// history finds the filters that a group has had, each with the time when it was valid.
func history(groups *group.Groups) query.History {
	return func(ctx context.Context, owner trace.Owner, name, arn string) (*answer.Group, bool, error) {
		d := group.Default(owner)
		if (name == "" || name == d.Name) && (arn == "" || arn == d.ARN) {
			return nil, true, nil
		}
		versions, err := groups.History(ctx, owner.Account, name, arn)
		if err != nil || len(versions) == 0 {
			return nil, false, err
		}
		return &answer.Group{Versions: versionsOf(versions)}, true, nil
	}
}

// groupVersions tells the store the filters of groups; the store keeps sums for them.
func (s *server) groupVersions(ctx context.Context, account trace.Account) ([]answer.GroupVersion, error) {
	if s.meta == nil {
		return nil, store.ErrOwnersUnknown
	}
	versions, err := s.groups.Versions(ctx, account)
	return versionsOf(versions), err
}

func versionsOf(versions []group.Version) []answer.GroupVersion {
	out := make([]answer.GroupVersion, 0, len(versions))
	for _, v := range versions {
		out = append(out, answer.GroupVersion{ID: v.ID, Name: v.Name, Filter: v.Filter, Received: trace.Window{Start: v.From, End: v.Until}, Old: v.Until != trace.MaxTime})
	}
	return out
}
