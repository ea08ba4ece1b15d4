package api

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/policy/resource"
	"github.com/fluoro-io/fluoro/internal/setting"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// Control holds the parts that answer the operations on control-plane records.
type Control struct {
	Groups   *group.Groups
	Tags     *tag.Tags
	Policies *resource.Policies
	Settings *setting.Settings
	// Encryption answers the operations on encryption.
	Encryption Encryption
}

// Encryption switches the encryption of the traces of accounts.
type Encryption interface {
	// Get returns the present setting and its status: ACTIVE or UPDATING.
	Get(ctx context.Context, account trace.Account) (e setting.Encryption, status string, err error)
	// Set begins to switch. Errors: KindInvalid if the key cannot be used, KindThrottled
	// if the key management service cannot be asked now.
	Set(ctx context.Context, account trace.Account, e setting.Encryption) error
}

// control returns the handlers of the operations on control-plane records.
func (a *API) control() map[string]handler {
	return map[string]handler{
		"CreateGroup":                   a.createGroup,
		"GetGroup":                      a.getGroup,
		"GetGroups":                     a.getGroups,
		"UpdateGroup":                   a.updateGroup,
		"DeleteGroup":                   a.deleteGroup,
		"TagResource":                   a.tagResource,
		"UntagResource":                 a.untagResource,
		"ListTagsForResource":           a.listTagsForResource,
		"PutResourcePolicy":             a.putResourcePolicy,
		"ListResourcePolicies":          a.listResourcePolicies,
		"DeleteResourcePolicy":          a.deleteResourcePolicy,
		"GetEncryptionConfig":           a.getEncryptionConfig,
		"PutEncryptionConfig":           a.putEncryptionConfig,
		"GetTraceSegmentDestination":    a.getTraceSegmentDestination,
		"UpdateTraceSegmentDestination": a.updateTraceSegmentDestination,
		"GetIndexingRules":              a.getIndexingRules,
		"UpdateIndexingRule":            a.updateIndexingRule,
		"GetInsight":                    a.getInsight,
		"GetInsightEvents":              a.getInsightEvents,
		"GetInsightImpactGraph":         a.getInsightImpactGraph,
		"GetInsightSummaries":           a.getInsightSummaries,
	}
}

const malformedPolicy = "MalformedPolicyDocumentException"

// invalidName returns the name of the exception for an invalid request; most errors
// have the general name.
func invalidName(err error) string {
	for _, e := range []struct {
		cause error
		name  string
	}{
		{resource.ErrMalformed, malformedPolicy},
		{resource.ErrTooLarge, "PolicySizeLimitExceededException"},
		{resource.ErrTooMany, "PolicyCountLimitExceededException"},
		{resource.ErrLockout, "LockoutPreventionException"},
		{resource.ErrRevision, "InvalidPolicyRevisionIdException"},
	} {
		if errors.Is(err, e.cause) {
			return e.name
		}
	}
	return "InvalidRequestException"
}

// bodyOf returns the body of an error.
func bodyOf(e *exception, err error) any {
	switch e.name {
	case malformedPolicy:
		// The native service does not tell the reason. We add it in a header.
		return struct{ Message *string }{}
	case "ResourceNotFoundException":
		body := struct {
			Message      string
			ResourceName *string
		}{Message: e.message}
		if unknown, ok := errors.AsType[*tag.NotFoundError](err); ok {
			body.ResourceName = &unknown.ARN
		}
		return body
	}
	return e.body()
}

// ask parses a request into its shape and passes it to a function that answers it.
func ask[Q any](r *request, answer func(*Q) (any, error)) (any, error) {
	var q Q
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	return answer(&q)
}

func tags(list []wire.Tag) []tag.Tag {
	out := make([]tag.Tag, len(list))
	for i, t := range list {
		out[i] = tag.Tag{Key: value(t.Key), Value: value(t.Value)}
	}
	return out
}

func (a *API) tagResource(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.TagResourceRequest) (any, error) {
		if err := a.mayTag(ctx, r, "xray:TagResource", value(q.ResourceARN), tags(q.Tags), nil); err != nil {
			return nil, err
		}
		return struct{}{}, a.Tags.Add(ctx, r.owner, value(q.ResourceARN), tags(q.Tags))
	})
}

func (a *API) untagResource(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.UntagResourceRequest) (any, error) {
		if err := a.mayTag(ctx, r, "xray:UntagResource", value(q.ResourceARN), nil, q.TagKeys); err != nil {
			return nil, err
		}
		return struct{}{}, a.Tags.Remove(ctx, r.owner, value(q.ResourceARN), q.TagKeys)
	})
}

// listTagsForResource ignores a token, as the native service does: there is one
// page.
func (a *API) listTagsForResource(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.ListTagsForResourceRequest) (any, error) {
		if err := a.mayUse(ctx, r, "xray:ListTagsForResource", value(q.ResourceARN)); err != nil {
			return nil, err
		}
		list, err := a.Tags.List(ctx, r.owner, value(q.ResourceARN))
		if err != nil {
			return nil, err
		}
		answer := wire.ListTagsForResourceResult{Tags: []wire.Tag{}}
		for _, t := range list {
			answer.Tags = append(answer.Tags, wire.Tag{Key: &t.Key, Value: &t.Value})
		}
		return answer, nil
	})
}
