package wire

// Operation is an operation of the API model.
type Operation struct {
	Name   string
	Path   string // always POST
	Action string // IAM action
	Access string // IAM access level
}

// Operations are the 38 operations of the X-Ray API, version 2016-04-12, by name.
var Operations = []Operation{
	{"BatchGetTraces", "/Traces", "xray:BatchGetTraces", "List"},
	{"CancelTraceRetrieval", "/CancelTraceRetrieval", "xray:CancelTraceRetrieval", "Read"},
	{"CreateGroup", "/CreateGroup", "xray:CreateGroup", "Write"},
	{"CreateSamplingRule", "/CreateSamplingRule", "xray:CreateSamplingRule", "Write"},
	{"DeleteGroup", "/DeleteGroup", "xray:DeleteGroup", "Write"},
	{"DeleteResourcePolicy", "/DeleteResourcePolicy", "xray:DeleteResourcePolicy", "Write"},
	{"DeleteSamplingRule", "/DeleteSamplingRule", "xray:DeleteSamplingRule", "Write"},
	{"GetEncryptionConfig", "/EncryptionConfig", "xray:GetEncryptionConfig", "Read"},
	{"GetGroup", "/GetGroup", "xray:GetGroup", "Read"},
	{"GetGroups", "/Groups", "xray:GetGroups", "Read"},
	{"GetIndexingRules", "/GetIndexingRules", "xray:GetIndexingRules", "Read"},
	{"GetInsight", "/Insight", "xray:GetInsight", "Read"},
	{"GetInsightEvents", "/InsightEvents", "xray:GetInsightEvents", "Read"},
	{"GetInsightImpactGraph", "/InsightImpactGraph", "xray:GetInsightImpactGraph", "Read"},
	{"GetInsightSummaries", "/InsightSummaries", "xray:GetInsightSummaries", "Read"},
	{"GetRetrievedTracesGraph", "/GetRetrievedTracesGraph", "xray:GetRetrievedTracesGraph", "Read"},
	{"GetSamplingRules", "/GetSamplingRules", "xray:GetSamplingRules", "Read"},
	{"GetSamplingStatisticSummaries", "/SamplingStatisticSummaries", "xray:GetSamplingStatisticSummaries", "Read"},
	{"GetSamplingTargets", "/SamplingTargets", "xray:GetSamplingTargets", "Read"},
	{"GetServiceGraph", "/ServiceGraph", "xray:GetServiceGraph", "Read"},
	{"GetTimeSeriesServiceStatistics", "/TimeSeriesServiceStatistics", "xray:GetTimeSeriesServiceStatistics", "Read"},
	{"GetTraceGraph", "/TraceGraph", "xray:GetTraceGraph", "Read"},
	{"GetTraceSegmentDestination", "/GetTraceSegmentDestination", "xray:GetTraceSegmentDestination", "Read"},
	{"GetTraceSummaries", "/TraceSummaries", "xray:GetTraceSummaries", "Read"},
	{"ListResourcePolicies", "/ListResourcePolicies", "xray:ListResourcePolicies", "List"},
	{"ListRetrievedTraces", "/ListRetrievedTraces", "xray:ListRetrievedTraces", "List"},
	{"ListTagsForResource", "/ListTagsForResource", "xray:ListTagsForResource", "List"},
	{"PutEncryptionConfig", "/PutEncryptionConfig", "xray:PutEncryptionConfig", "Permissions mgmt"},
	{"PutResourcePolicy", "/PutResourcePolicy", "xray:PutResourcePolicy", "Write"},
	{"PutTelemetryRecords", "/TelemetryRecords", "xray:PutTelemetryRecords", "Write"},
	{"PutTraceSegments", "/TraceSegments", "xray:PutTraceSegments", "Write"},
	{"StartTraceRetrieval", "/StartTraceRetrieval", "xray:StartTraceRetrieval", "Read"},
	{"TagResource", "/TagResource", "xray:TagResource", "Tagging"},
	{"UntagResource", "/UntagResource", "xray:UntagResource", "Tagging"},
	{"UpdateGroup", "/UpdateGroup", "xray:UpdateGroup", "Write"},
	{"UpdateIndexingRule", "/UpdateIndexingRule", "xray:UpdateIndexingRule", "Write"},
	{"UpdateSamplingRule", "/UpdateSamplingRule", "xray:UpdateSamplingRule", "Write"},
	{"UpdateTraceSegmentDestination", "/UpdateTraceSegmentDestination", "xray:UpdateTraceSegmentDestination", "Write"},
}

// Lookup finds an operation by its path.
func Lookup(path string) (Operation, bool) {
	for _, o := range Operations {
		if o.Path == path {
			return o, true
		}
	}
	return Operation{}, false
}
