package wire

// Shapes of the operations on control-plane records. Members of requests are
// pointers where absence matters; members of answers are in alphabetical order
// and null when unset, as the native service writes them.

// Group describes a group.
type Group struct {
	FilterExpression      *string // null for Default
	GroupARN              string
	GroupName             string
	InsightsConfiguration InsightsConfiguration
}

// InsightsConfiguration reports whether insights are looked for.
type InsightsConfiguration struct {
	InsightsEnabled      bool
	NotificationsEnabled bool
}

// InsightsConfigurationUpdate is InsightsConfiguration in a request.
type InsightsConfigurationUpdate struct {
	InsightsEnabled      *bool
	NotificationsEnabled *bool
}

// CreateGroupRequest asks CreateGroup.
type CreateGroupRequest struct {
	FilterExpression      *string
	GroupName             *string
	InsightsConfiguration *InsightsConfigurationUpdate
	Tags                  []Tag
}

// UpdateGroupRequest asks UpdateGroup.
type UpdateGroupRequest struct {
	FilterExpression      *string
	GroupARN              *string
	GroupName             *string
	InsightsConfiguration *InsightsConfigurationUpdate
}

// GroupRequest asks GetGroup and DeleteGroup.
type GroupRequest struct {
	GroupARN  *string
	GroupName *string
}

// GroupResult answers CreateGroup, GetGroup and UpdateGroup.
type GroupResult struct{ Group Group }

// GetGroupsResult answers GetGroups.
type GetGroupsResult struct {
	Groups    []Group
	NextToken *string
}

// Tag is a label of a resource.
type Tag struct {
	Key   *string
	Value *string
}

// TagResourceRequest asks TagResource.
type TagResourceRequest struct {
	ResourceARN *string
	Tags        []Tag
}

// UntagResourceRequest asks UntagResource.
type UntagResourceRequest struct {
	ResourceARN *string
	TagKeys     []string
}

// ListTagsForResourceRequest asks ListTagsForResource.
type ListTagsForResourceRequest struct{ ResourceARN *string }

// ListTagsForResourceResult answers ListTagsForResource.
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

// PutResourcePolicyRequest asks PutResourcePolicy.
type PutResourcePolicyRequest struct {
	BypassPolicyLockoutCheck *bool
	PolicyDocument           *string
	PolicyName               *string
	PolicyRevisionId         *string
}

// PutResourcePolicyResult answers PutResourcePolicy.
type PutResourcePolicyResult struct{ ResourcePolicy ResourcePolicy }

// ListResourcePoliciesResult answers ListResourcePolicies.
type ListResourcePoliciesResult struct {
	NextToken        *string
	ResourcePolicies []ResourcePolicy
}

// DeleteResourcePolicyRequest asks DeleteResourcePolicy.
type DeleteResourcePolicyRequest struct {
	PolicyName       *string
	PolicyRevisionId *string
}

// EncryptionConfig says what encrypts traces.
type EncryptionConfig struct {
	KeyId  *string
	Status string
	Type   string
}

// PutEncryptionConfigRequest asks PutEncryptionConfig.
type PutEncryptionConfigRequest struct {
	KeyId *string
	Type  *string
}

// EncryptionConfigResult answers GetEncryptionConfig and PutEncryptionConfig.
type EncryptionConfigResult struct{ EncryptionConfig EncryptionConfig }

// UpdateTraceSegmentDestinationRequest asks UpdateTraceSegmentDestination.
type UpdateTraceSegmentDestinationRequest struct{ Destination *string }

// TraceSegmentDestinationResult answers GetTraceSegmentDestination and
// UpdateTraceSegmentDestination.
type TraceSegmentDestinationResult struct {
	Destination string
	Status      string
}

// IndexingRule says which share of traces has summaries.
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

// GetIndexingRulesResult answers GetIndexingRules.
type GetIndexingRulesResult struct {
	IndexingRules []IndexingRule
	NextToken     *string
}

// UpdateIndexingRuleRequest asks UpdateIndexingRule.
type UpdateIndexingRuleRequest struct {
	Name *string
	Rule *IndexingRuleValueUpdate
}

// IndexingRuleValueUpdate is a union with one member today.
type IndexingRuleValueUpdate struct{ Probabilistic *ProbabilisticRuleValueUpdate }

// ProbabilisticRuleValueUpdate is a share in percent.
type ProbabilisticRuleValueUpdate struct{ DesiredSamplingPercentage *float64 }

// UpdateIndexingRuleResult answers UpdateIndexingRule.
type UpdateIndexingRuleResult struct{ IndexingRule IndexingRule }

// GetInsightRequest asks GetInsight.
type GetInsightRequest struct{ InsightId *string }

// GetInsightEventsRequest asks GetInsightEvents.
type GetInsightEventsRequest struct {
	InsightId  *string
	MaxResults *int
	NextToken  *string
}

// GetInsightImpactGraphRequest asks GetInsightImpactGraph.
type GetInsightImpactGraphRequest struct {
	EndTime   *Timestamp
	InsightId *string
	NextToken *string
	StartTime *Timestamp
}

// GetInsightSummariesRequest asks GetInsightSummaries.
type GetInsightSummariesRequest struct {
	EndTime    *Timestamp
	GroupARN   *string
	GroupName  *string
	MaxResults *int
	NextToken  *string
	StartTime  *Timestamp
	States     []string
}

// GetInsightSummariesResult answers GetInsightSummaries. There are no insights.
type GetInsightSummariesResult struct {
	InsightSummaries []struct{}
	NextToken        *string
}
