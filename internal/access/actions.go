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

// scope tells what an action does with segments.
type scope uint8

const (
	// allSegments: it may touch any segment. The keys about segments (fluoro:Service and the
	// like) are unknown, so that only policies that allow all segments allow the action.
	allSegments scope = iota
	// someSegments: it reads segments, and its handler looks at the principal's sight.
	someSegments
	// noSegments: the keys about segments are absent.
	noSegments
)

// scopes lists the actions of X-Ray that read segments, and all of Fluoro. Unknown actions
// of Fluoro count as allSegments: a new one must neither show what a policy hides nor be
// allowed by a limited Allow. xray:Link shows all segments to another account.
var scopes = func() map[string]scope {
	m := map[string]scope{}
	for s, names := range map[scope]string{
		someSegments: `
			xray: BatchGetTraces GetTraceSummaries GetTraceGraph GetServiceGraph GetTimeSeriesServiceStatistics BatchGetTraceSummaryById GetDistinctTraceGraphs
			xray: StartTraceRetrieval CancelTraceRetrieval ListRetrievedTraces GetRetrievedTracesGraph GetInsight GetInsightEvents GetInsightImpactGraph GetInsightSummaries
			fluoro: GetStatus GetMetrics GetLiveEvents GetTrace GetSeries SearchTraces GetHistogram GetFacets CompareTraces DeleteTraces CreateBackup
			fluoro: ListFindings GetFinding UpdateFinding`,
		allSegments: `
			xray: Link
			cloudtrail: LookupEvents
			fluoro: ExportTraces EraseTraces AddHold ListHolds ReleaseHold PreviewScrubRule StartScrubJob GetScrubJob ForgetDataKeys`,
		noSegments: `
			fluoro: GetQuota GetQuotaOfAccount PutQuota ResetQuota RotateAccessKey CreateToken ListTokens UpdateToken DeleteToken PutCertificate ListCertificates DeleteCertificate
			fluoro: GetSession EndSession ListSessions RevokeSession ListPasskeys CreatePasskey DeletePasskey
			fluoro: GetOrganization PutOrganization DeleteOrganization RevokeRoleSessions GetContainerCredentials
			fluoro: PutScrubRule ListScrubRules DeleteScrubRule TestScrubRule StopScrubJob GetComplianceReport
			fluoro: GetDataKeys ListDataKeys RotateDataKeys RewrapDataKeys`,
	} {
		for line := range strings.Lines(names) {
			service, list, _ := strings.Cut(strings.TrimSpace(line), " ")
			for _, name := range strings.Fields(list) {
				m[service+name] = s
			}
		}
	}
	return m
}()

// Knows reports whether it is known what an action does with segments: for the actions of
// AWS it always is, a new one of Fluoro must be listed here.
func Knows(action string) bool {
	_, listed := scopes[action]
	return listed || !strings.HasPrefix(action, "fluoro:")
}

// scopeOf returns the scope of an action.
func scopeOf(action string) scope {
	s, known := scopes[action]
	if !known && !strings.HasPrefix(action, "fluoro:") {
		return noSegments
	}
	return s
}

// Listed reports whether the scope of an action of Fluoro was decided, for tests.
func Listed(action string) bool {
	_, known := scopes[action]
	return known || !strings.HasPrefix(action, "fluoro:")
}
