package wire

// Shapes of the operations on control-plane records. Members of requests are
// pointers if absence matters; members of answers are in alphabetical order and null
// when unset, as the native service writes them.

// Group describes a group.
type Group struct {
	FilterExpression      *string // null for Default
	GroupARN              string
	GroupName             string
	InsightsConfiguration InsightsConfiguration
}

// InsightsConfiguration tells whether a group has insights enabled.
type InsightsConfiguration struct {
	InsightsEnabled      bool
	NotificationsEnabled bool
}

// InsightsConfigurationUpdate is InsightsConfiguration in a request.
type InsightsConfigurationUpdate struct {
	InsightsEnabled      *bool
	NotificationsEnabled *bool
}

// CreateGroupRequest is the request of CreateGroup.
type CreateGroupRequest struct {
	FilterExpression      *string
	GroupName             *string
	InsightsConfiguration *InsightsConfigurationUpdate
	Tags                  []Tag
}

// UpdateGroupRequest is the request of UpdateGroup.
type UpdateGroupRequest struct {
	FilterExpression      *string
	GroupARN              *string
	GroupName             *string
	InsightsConfiguration *InsightsConfigurationUpdate
}

// GroupRequest is the request of GetGroup and DeleteGroup.
type GroupRequest struct {
	GroupARN  *string
	GroupName *string
}

// GroupResult is the answer of CreateGroup, GetGroup and UpdateGroup.
type GroupResult struct{ Group Group }

// GetGroupsResult is the answer of GetGroups.
type GetGroupsResult struct {
	Groups    []Group
	NextToken *string
}

// Tag is a label of a resource.
type Tag struct {
	Key   *string
	Value *string
}

// TagResourceRequest is the request of TagResource.
type TagResourceRequest struct {
	ResourceARN *string
	Tags        []Tag
}

// UntagResourceRequest is the request of UntagResource.
type UntagResourceRequest struct {
	ResourceARN *string
	TagKeys     []string
}

// ListTagsForResourceRequest is the request of ListTagsForResource.
type ListTagsForResourceRequest struct{ ResourceARN *string }

// ListTagsForResourceResult is the answer of ListTagsForResource.
type ListTagsForResourceResult struct {
	NextToken *string
	Tags      []Tag
}

// ResourcePolicy is a resource policy.
type ResourcePolicy struct {
	LastUpdatedTime  Timestamp
	PolicyDocument   string
	PolicyName       string
	PolicyRevisionId string
}

// PutResourcePolicyRequest is the request of PutResourcePolicy.
type PutResourcePolicyRequest struct {
	BypassPolicyLockoutCheck *bool
	PolicyDocument           *string
	PolicyName               *string
	PolicyRevisionId         *string
}

// PutResourcePolicyResult is the answer of PutResourcePolicy.
type PutResourcePolicyResult struct{ ResourcePolicy ResourcePolicy }

// ListResourcePoliciesResult is the answer of ListResourcePolicies.
type ListResourcePoliciesResult struct {
	NextToken        *string
	ResourcePolicies []ResourcePolicy
}

// DeleteResourcePolicyRequest is the request of DeleteResourcePolicy.
type DeleteResourcePolicyRequest struct {
	PolicyName       *string
	PolicyRevisionId *string
}

// EncryptionConfig names the key that encrypts traces.
type EncryptionConfig struct {
	KeyId  *string
	Status string
	Type   string
}

// PutEncryptionConfigRequest is the request of PutEncryptionConfig.
type PutEncryptionConfigRequest struct {
	KeyId *string
	Type  *string
}

// EncryptionConfigResult is the answer of GetEncryptionConfig and
// PutEncryptionConfig.
type EncryptionConfigResult struct{ EncryptionConfig EncryptionConfig }

// UpdateTraceSegmentDestinationRequest is the request of
// UpdateTraceSegmentDestination.
type UpdateTraceSegmentDestinationRequest struct{ Destination *string }

// TraceSegmentDestinationResult is the answer of GetTraceSegmentDestination and
// UpdateTraceSegmentDestination.
type TraceSegmentDestinationResult struct {
	Destination string
	Status      string
}

// IndexingRule sets the share of traces with summaries.
type IndexingRule struct {
	ModifiedAt *Timestamp
	Name       string
	Rule       IndexingRuleValue
}

// IndexingRuleValue is a union with one member today.
type IndexingRuleValue struct{ Probabilistic *ProbabilisticRuleValue }

// ProbabilisticRuleValue is a share in percent.
type ProbabilisticRuleValue struct {
	ActualSamplingPercentage  float64
	DesiredSamplingPercentage float64
}

// GetIndexingRulesResult is the answer of GetIndexingRules.
type GetIndexingRulesResult struct {
	IndexingRules []IndexingRule
	NextToken     *string
}

// UpdateIndexingRuleRequest is the request of UpdateIndexingRule.
type UpdateIndexingRuleRequest struct {
	Name *string
	Rule *IndexingRuleValueUpdate
}

// IndexingRuleValueUpdate is a union with one member today.
type IndexingRuleValueUpdate struct{ Probabilistic *ProbabilisticRuleValueUpdate }

// ProbabilisticRuleValueUpdate is a share in percent.
type ProbabilisticRuleValueUpdate struct{ DesiredSamplingPercentage *float64 }

// UpdateIndexingRuleResult is the answer of UpdateIndexingRule.
type UpdateIndexingRuleResult struct{ IndexingRule IndexingRule }

// GetInsightRequest is the request of GetInsight.
type GetInsightRequest struct{ InsightId *string }

// GetInsightEventsRequest is the request of GetInsightEvents.
type GetInsightEventsRequest struct {
	InsightId  *string
	MaxResults *int
	NextToken  *string
}

// GetInsightImpactGraphRequest is the request of GetInsightImpactGraph.
type GetInsightImpactGraphRequest struct {
	EndTime   *Timestamp
	InsightId *string
	NextToken *string
	StartTime *Timestamp
}

// GetInsightSummariesRequest is the request of GetInsightSummaries.
type GetInsightSummariesRequest struct {
	EndTime    *Timestamp
	GroupARN   *string
	GroupName  *string
	MaxResults *int
	NextToken  *string
	StartTime  *Timestamp
	States     []string
}

// GetInsightSummariesResult is the answer of GetInsightSummaries. There are no
// insights.
type GetInsightSummariesResult struct {
	InsightSummaries []struct{}
	NextToken        *string
}
