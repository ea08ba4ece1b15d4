package api

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/tag"
)

// asking lists the operations whose handlers ask the authorizer themselves: those with a
// resource, or with condition keys that are in the body (Service Authorization Reference,
// "Actions, resources, and condition keys for AWS X-Ray").
var asking = map[string]bool{
	"CreateGroup": true, "GetGroup": true, "UpdateGroup": true, "DeleteGroup": true,
	"CreateSamplingRule": true, "UpdateSamplingRule": true, "DeleteSamplingRule": true,
	"TagResource": true, "UntagResource": true, "ListTagsForResource": true,
	"PutResourcePolicy": true, "DeleteResourcePolicy": true, "UpdateTraceSegmentDestination": true,
}

// Asks reports whether the handler of an operation asks the authorizer itself.
func Asks(operation string) bool { return asking[operation] }

// mayUse asks about an existing resource.
func (a *API) mayUse(ctx context.Context, r *request, action, arn string) error {
	return identity.Ask(ctx, identity.Question{Action: action, Resource: arn, Keys: a.tagsOf(ctx, r, arn)})
}

// mayUseGroup asks about a group that a request selects by name or ARN. For a group that
// does not exist, the name decides.
func (a *API) mayUseGroup(ctx context.Context, r *request, action, name, arn string) error {
	if name != "" {
		arn = r.owner.ARN("group/" + name + "/*")
		if g, err := a.Groups.Get(ctx, r.owner, name, ""); err == nil {
			arn = g.ARN
		}
	}
	return a.mayUse(ctx, r, action, arn)
}

// mayUseRule asks about a sampling rule that a request selects by name or ARN.
func (a *API) mayUseRule(ctx context.Context, r *request, action, name, arn string) error {
	if name != "" {
		arn = r.owner.ARN("sampling-rule/" + name)
	}
	return a.mayUse(ctx, r, action, arn)
}

// mayCreate asks about a resource that does not exist yet. With tags, the caller also
// needs the permission to tag it.
func (a *API) mayCreate(ctx context.Context, action, arn string, tags []tag.Tag) error {
	keys := map[string][]string{}
	requestTags(keys, tags)
	err := identity.Ask(ctx, identity.Question{Action: action, Resource: arn, Keys: keys})
	if err == nil && len(tags) > 0 {
		err = identity.Ask(ctx, identity.Question{Action: "xray:TagResource", Resource: arn, Keys: keys})
	}
	return err
}

// mayTag asks about a change of tags.
func (a *API) mayTag(ctx context.Context, r *request, action, arn string, set []tag.Tag, removed []string) error {
	keys := a.tagsOf(ctx, r, arn)
	requestTags(keys, set)
	if len(removed) > 0 {
		keys["aws:TagKeys"] = removed
	}
	return identity.Ask(ctx, identity.Question{Action: action, Resource: arn, Keys: keys})
}

// mayWith asks about an action without resource types, with one condition key.
func mayWith(ctx context.Context, action, key, value string) error {
	return identity.Ask(ctx, identity.Question{Action: action, Resource: "*", Keys: map[string][]string{key: {value}}})
}

// tagsOf returns the tags of a resource as condition keys; none if it does not exist.
func (a *API) tagsOf(ctx context.Context, r *request, arn string) map[string][]string {
	keys := map[string][]string{}
	list, err := a.Tags.List(ctx, r.owner, arn)
	if err != nil {
		return keys
	}
	for _, t := range list {
		keys["aws:ResourceTag/"+t.Key] = []string{t.Value}
	}
	return keys
}

func requestTags(keys map[string][]string, tags []tag.Tag) {
	for _, t := range tags {
		keys["aws:RequestTag/"+t.Key] = []string{t.Value}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.Key)
	}
}
