package access

import "strings"

// withResource lists the actions of X-Ray that have a resource type (Service
// Authorization Reference, "Actions, resources, and condition keys for AWS X-Ray"). The
// resource of all others is the literal *.
var withResource = map[string]bool{
	"xray:CreateGroup": true, "xray:GetGroup": true, "xray:UpdateGroup": true, "xray:DeleteGroup": true,
	"xray:CreateSamplingRule": true, "xray:UpdateSamplingRule": true, "xray:DeleteSamplingRule": true,
	"xray:TagResource": true, "xray:UntagResource": true, "xray:ListTagsForResource": true,
}

// typed reports whether an action has a resource type.
func typed(action string) bool {
	switch {
	case strings.HasPrefix(action, "xray:"):
		return withResource[action]
	case strings.HasPrefix(action, "sts:"):
		return action != "sts:GetCallerIdentity" && action != "sts:GetSessionToken"
	}
	return true
}

// readers lists the actions of X-Ray that read segments. Conditions on fluoro:Service
// and the like limit which; for other actions these keys are absent.
var readers = map[string]bool{
	"xray:BatchGetTraces": true, "xray:GetTraceSummaries": true, "xray:GetTraceGraph": true, "xray:GetServiceGraph": true,
	"xray:GetTimeSeriesServiceStatistics": true, "xray:BatchGetTraceSummaryById": true, "xray:GetDistinctTraceGraphs": true,
	"xray:StartTraceRetrieval": true, "xray:CancelTraceRetrieval": true, "xray:ListRetrievedTraces": true, "xray:GetRetrievedTracesGraph": true,
	"xray:GetInsight": true, "xray:GetInsightEvents": true, "xray:GetInsightImpactGraph": true, "xray:GetInsightSummaries": true,
}

// blind lists the actions of Fluoro that read no segments. An action that is not listed
// counts as a reader, so that a new one cannot show what a policy hides.
var blind = map[string]bool{
	"fluoro:GetQuota": true, "fluoro:GetQuotaOfAccount": true, "fluoro:PutQuota": true, "fluoro:ResetQuota": true,
	"fluoro:CreateToken": true, "fluoro:ListTokens": true, "fluoro:UpdateToken": true, "fluoro:DeleteToken": true,
	"fluoro:PutCertificate": true, "fluoro:ListCertificates": true, "fluoro:DeleteCertificate": true,
	"fluoro:GetOrganization": true, "fluoro:PutOrganization": true, "fluoro:DeleteOrganization": true, "fluoro:RevokeRoleSessions": true,
}

// reads reports whether an action reads segments.
func reads(action string) bool {
	return readers[action] || strings.HasPrefix(action, "fluoro:") && !blind[action]
}
