package wire

// Operation is one row of the table of operations: what the API model says of
// it, and whether this version answers it.
type Operation struct {
	Name   string
	Path   string // always POST
	Action string // IAM action
	Access string // IAM access level
	Built  bool
}

// Operations are the 38 operations of the X-Ray API, version 2016-04-12, by name.
var Operations = []Operation{
	{"BatchGetTraces", "/Traces", "xray:BatchGetTraces", "List", true},
	{"CancelTraceRetrieval", "/CancelTraceRetrieval", "xray:CancelTraceRetrieval", "Read", true},
	{"CreateGroup", "/CreateGroup", "xray:CreateGroup", "Write", true},
	{"CreateSamplingRule", "/CreateSamplingRule", "xray:CreateSamplingRule", "Write", true},
	{"DeleteGroup", "/DeleteGroup", "xray:DeleteGroup", "Write", true},
	{"DeleteResourcePolicy", "/DeleteResourcePolicy", "xray:DeleteResourcePolicy", "Write", true},
	{"DeleteSamplingRule", "/DeleteSamplingRule", "xray:DeleteSamplingRule", "Write", true},
	{"GetEncryptionConfig", "/EncryptionConfig", "xray:GetEncryptionConfig", "Read", true},
	{"GetGroup", "/GetGroup", "xray:GetGroup", "Read", true},
	{"GetGroups", "/Groups", "xray:GetGroups", "Read", true},
	{"GetIndexingRules", "/GetIndexingRules", "xray:GetIndexingRules", "Read", true},
	{"GetInsight", "/Insight", "xray:GetInsight", "Read", true},
	{"GetInsightEvents", "/InsightEvents", "xray:GetInsightEvents", "Read", true},
	{"GetInsightImpactGraph", "/InsightImpactGraph", "xray:GetInsightImpactGraph", "Read", true},
	{"GetInsightSummaries", "/InsightSummaries", "xray:GetInsightSummaries", "Read", true},
	{"GetRetrievedTracesGraph", "/GetRetrievedTracesGraph", "xray:GetRetrievedTracesGraph", "Read", true},
	{"GetSamplingRules", "/GetSamplingRules", "xray:GetSamplingRules", "Read", true},
	{"GetSamplingStatisticSummaries", "/SamplingStatisticSummaries", "xray:GetSamplingStatisticSummaries", "Read", true},
	{"GetSamplingTargets", "/SamplingTargets", "xray:GetSamplingTargets", "Read", true},
	{"GetServiceGraph", "/ServiceGraph", "xray:GetServiceGraph", "Read", true},
	{"GetTimeSeriesServiceStatistics", "/TimeSeriesServiceStatistics", "xray:GetTimeSeriesServiceStatistics", "Read", false},
	{"GetTraceGraph", "/TraceGraph", "xray:GetTraceGraph", "Read", true},
	{"GetTraceSegmentDestination", "/GetTraceSegmentDestination", "xray:GetTraceSegmentDestination", "Read", true},
	{"GetTraceSummaries", "/TraceSummaries", "xray:GetTraceSummaries", "Read", true},
	{"ListResourcePolicies", "/ListResourcePolicies", "xray:ListResourcePolicies", "List", true},
	{"ListRetrievedTraces", "/ListRetrievedTraces", "xray:ListRetrievedTraces", "List", true},
	{"ListTagsForResource", "/ListTagsForResource", "xray:ListTagsForResource", "List", true},
	{"PutEncryptionConfig", "/PutEncryptionConfig", "xray:PutEncryptionConfig", "Permissions mgmt", true},
	{"PutResourcePolicy", "/PutResourcePolicy", "xray:PutResourcePolicy", "Write", true},
	{"PutTelemetryRecords", "/TelemetryRecords", "xray:PutTelemetryRecords", "Write", true},
	{"PutTraceSegments", "/TraceSegments", "xray:PutTraceSegments", "Write", true},
	{"StartTraceRetrieval", "/StartTraceRetrieval", "xray:StartTraceRetrieval", "Read", true},
	{"TagResource", "/TagResource", "xray:TagResource", "Tagging", true},
	{"UntagResource", "/UntagResource", "xray:UntagResource", "Tagging", true},
	{"UpdateGroup", "/UpdateGroup", "xray:UpdateGroup", "Write", true},
	{"UpdateIndexingRule", "/UpdateIndexingRule", "xray:UpdateIndexingRule", "Write", true},
	{"UpdateSamplingRule", "/UpdateSamplingRule", "xray:UpdateSamplingRule", "Write", true},
	{"UpdateTraceSegmentDestination", "/UpdateTraceSegmentDestination", "xray:UpdateTraceSegmentDestination", "Write", true},
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
