package api

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

func (a *API) createGroup(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.CreateGroupRequest) (any, error) {
		if err := a.mayCreate(ctx, "xray:CreateGroup", r.owner.ARN("group/"+value(q.GroupName)+"/*"), tags(q.Tags)); err != nil {
			return nil, err
		}
		g, err := a.Groups.Create(ctx, r.owner, value(q.GroupName), change(q.FilterExpression, q.InsightsConfiguration), tags(q.Tags), trace.TimeOf(a.Now()))
		return wire.GroupResult{Group: shownGroup(g)}, err
	})
}

func (a *API) getGroup(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.GroupRequest) (any, error) {
		if err := a.mayUseGroup(ctx, r, "xray:GetGroup", value(q.GroupName), value(q.GroupARN)); err != nil {
			return nil, err
		}
		g, err := a.Groups.Get(ctx, r.owner, value(q.GroupName), value(q.GroupARN))
		return wire.GroupResult{Group: shownGroup(g)}, err
	})
}

func (a *API) getGroups(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *nextTokenRequest) (any, error) {
		if q.NextToken != nil {
			return nil, trace.Errorf(trace.KindInvalid, "Next Token not supported")
		}
		list, err := a.Groups.List(ctx, r.owner)
		if err != nil {
			return nil, err
		}
		answer := wire.GetGroupsResult{Groups: []wire.Group{}}
		for _, g := range list {
			answer.Groups = append(answer.Groups, shownGroup(g))
		}
		return answer, nil
	})
}

func (a *API) updateGroup(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.UpdateGroupRequest) (any, error) {
		if err := a.mayUseGroup(ctx, r, "xray:UpdateGroup", value(q.GroupName), value(q.GroupARN)); err != nil {
			return nil, err
		}
		g, err := a.Groups.Update(ctx, r.owner, value(q.GroupName), value(q.GroupARN), change(q.FilterExpression, q.InsightsConfiguration), trace.TimeOf(a.Now()))
		return wire.GroupResult{Group: shownGroup(g)}, err
	})
}

func (a *API) deleteGroup(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.GroupRequest) (any, error) {
		if err := a.mayUseGroup(ctx, r, "xray:DeleteGroup", value(q.GroupName), value(q.GroupARN)); err != nil {
			return nil, err
		}
		return struct{}{}, a.Groups.Delete(ctx, r.owner, value(q.GroupName), value(q.GroupARN), trace.TimeOf(a.Now()))
	})
}

func change(filter *string, insights *wire.InsightsConfigurationUpdate) group.Change {
	c := group.Change{Filter: value(filter)}
	if insights != nil {
		c.Insights, c.Notifications = insights.InsightsEnabled, insights.NotificationsEnabled
	}
	return c
}

func shownGroup(g group.Group) wire.Group {
	return wire.Group{
		FilterExpression: text(g.Filter), GroupARN: g.ARN, GroupName: g.Name,
		InsightsConfiguration: wire.InsightsConfiguration{InsightsEnabled: g.Insights.Enabled, NotificationsEnabled: g.Insights.Notifications},
	}
}
