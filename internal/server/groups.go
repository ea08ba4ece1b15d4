package server

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local"
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
		return &store.Group{Versions: versionsOf(versions)}, true, nil
	}
}

// groupVersions tells the store what to sum up for groups. It waits until they
// are known, for the store opens first.
func (s *server) groupVersions(account trace.Account) ([]store.GroupVersion, error) {
	<-s.grouped
	if s.groups == nil {
		return nil, errors.New("the server did not start")
	}
	if s.meta == nil {
		return nil, local.ErrGroupsLost
	}
	versions, err := s.groups.Versions(context.Background(), account)
	return versionsOf(versions), err
}

func versionsOf(versions []group.Version) []store.GroupVersion {
	out := make([]store.GroupVersion, 0, len(versions))
	for _, v := range versions {
		out = append(out, store.GroupVersion{ID: v.ID, Filter: v.Filter, Received: trace.Window{Start: v.From, End: v.Until}, Old: v.Until != trace.MaxTime})
	}
	return out
}
