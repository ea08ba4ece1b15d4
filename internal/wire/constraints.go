package wire

import "regexp"

// Type is the type of a request's member.
type Type uint8

// The types of the API model that requests use.
const (
	String Type = iota
	Integer
	Double
	Boolean
	Time // a timestamp
	List
	Map
	Structure
)

// Shape describes a value in a request, under its name in the API model. If Model is
// set, the shape or member deviates from the model on purpose: Model is the model's
// constraint, Why the reason.
type Shape struct {
	Name     string
	Type     Type
	Min, Max *int     // limits of a number, of a text's length in characters, of the number of elements
	Pattern  string   // for a whole text
	Enum     []string // for a text
	Element  *Shape   // for a list; for a map, its values
	Key      *Shape   // for a map
	Members  []Member // for a structure, in the model's order
	Union    bool     // a structure with exactly one member
	Model    *Shape
	Why      string

	pattern *regexp.Regexp
}

// Matches reports whether a whole text matches the shape's pattern.
func (s *Shape) Matches(text string) bool { return s.pattern == nil || s.pattern.MatchString(text) }

// Member is a member of a structure. Alias is another name that some clients use.
type Member struct {
	Name     string
	Shape    *Shape
	Required bool
	Alias    string
	Model    *Member
	Why      string
}

// Shapes of the API model, version 2016-04-12. TestConstraints compares them with
// the model, member by member.
var (
	plain     = text("String")
	boolean   = shape("Boolean", Boolean)
	nBoolean  = shape("NullableBoolean", Boolean)
	nInteger  = shape("NullableInteger", Integer)
	nDouble   = shape("NullableDouble", Double)
	timestamp = shape("Timestamp", Time)

	traceID     = text("TraceId", between(1, 35))
	arn         = text("AmazonResourceName", between(1, 1011))
	resourceARN = text("ResourceARN", most(500))
	filter      = text("FilterExpression")
	token       = text("Token", between(1, 2000))
	retrieval   = text("RetrievalToken", between(0, 1020))
	insightID   = text("InsightId", matching(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}`))

	tag = structure("Tag",
		need("Key", tagKey), need("Value", text("TagValue", between(0, 256))))
	tagKey = text("TagKey", between(1, 128))
	tags   = list("TagList", tag, between(0, 200))

	groupName = text("GroupName", between(1, 32))
	groupARN  = text("GroupARN", between(1, 400))
	insights  = structure("InsightsConfiguration",
		may("InsightsEnabled", nBoolean), may("NotificationsEnabled", nBoolean))

	policyName     = text("PolicyName", between(1, 128), matching(`[\w+=,.@-]+`))
	policyRevision = text("PolicyRevisionId")

	traceIDs = list("TraceIdList", traceID)
	strategy = structure("SamplingStrategy",
		may("Name", text("SamplingStrategyName", oneOf("PartialScan", "FixedRate"))), may("Value", nDouble))
)

// Shapes of sampling.
var (
	ruleName    = text("RuleName", between(1, 32))
	serviceName = text("ServiceName", most(64))
	serviceType = text("ServiceType", most(64))
	host        = text("Host", most(64))
	httpMethod  = text("HTTPMethod", most(10))
	urlPath     = text("URLPath", most(128))
	attributes  = mapping("AttributeMap", text("AttributeKey", between(1, 32)), text("AttributeValue", between(1, 32)), most(5))
	boost       = structure("SamplingRateBoost",
		need("MaxRate", shape("MaxRate", Double, between(0, 1))),
		need("CooldownWindowMinutes", shape("CooldownWindowMinutes", Integer, least(0)).
			but("the native service takes 0 for an internal failure", least(1))))

	rule = structure("SamplingRule",
		may("RuleName", ruleName), may("RuleARN", plain), need("ResourceARN", resourceARN),
		need("Priority", shape("Priority", Integer, between(1, 9999))),
		need("FixedRate", shape("FixedRate", Double, between(0, 1))),
		need("ReservoirSize", shape("ReservoirSize", Integer, least(0))),
		need("ServiceName", serviceName), need("ServiceType", serviceType), need("Host", host), need("HTTPMethod", httpMethod), need("URLPath", urlPath),
		need("Version", shape("Version", Integer, least(1))), may("Attributes", attributes), may("SamplingRateBoost", boost))
	ruleUpdate = structure("SamplingRuleUpdate",
		may("RuleName", ruleName), may("RuleARN", plain), may("ResourceARN", resourceARN),
		may("Priority", nInteger), may("FixedRate", nDouble), may("ReservoirSize", nInteger),
		may("Host", host), may("ServiceName", serviceName), may("ServiceType", serviceType), may("HTTPMethod", httpMethod), may("URLPath", urlPath),
		may("Attributes", attributes), may("SamplingRateBoost", boost))

	statistics = list("SamplingStatisticsDocumentList", structure("SamplingStatisticsDocument",
		need("RuleName", ruleName), need("ClientID", text("ClientID", between(24, 24))), need("Timestamp", timestamp),
		need("RequestCount", shape("RequestCount", Integer, least(0))).but("the native service counts 0", Member{}),
		need("SampledCount", shape("SampledCount", Integer, least(0))).
			but("the native service counts 0; the ADOT SDK for Python spells it without the d", Member{Alias: "SampleCount"}),
		may("BorrowCount", shape("BorrowCount", Integer, least(0)))),
		most(25)).but(tooFew, most(1000))
	boostStatistics = list("SamplingBoostStatisticsDocumentList", structure("SamplingBoostStatisticsDocument",
		need("RuleName", ruleName), need("ServiceName", serviceName), need("Timestamp", timestamp),
		need("AnomalyCount", shape("AnomalyCount", Integer, least(0))),
		need("TotalCount", shape("TotalCount", Integer, least(0))),
		need("SampledAnomalyCount", shape("SampledAnomalyCount", Integer, least(0)))),
		most(25)).but(tooFew, most(1000))
)

const tooFew = "SDKs report all rules in one call, which are 26 in an account with 25 rules and Default"

// telemetry describes the records of daemons.
var telemetry = list("TelemetryRecordList", structure("TelemetryRecord",
	need("Timestamp", timestamp), may("SegmentsReceivedCount", nInteger), may("SegmentsSentCount", nInteger),
	may("SegmentsSpilloverCount", nInteger), may("SegmentsRejectedCount", nInteger),
	may("BackendConnectionErrors", structure("BackendConnectionErrors",
		may("TimeoutCount", nInteger), may("ConnectionRefusedCount", nInteger), may("HTTPCode4XXCount", nInteger),
		may("HTTPCode5XXCount", nInteger), may("UnknownHostCount", nInteger), may("OtherCount", nInteger)))))

// indexing describes the update of an indexing rule.
var indexing = union("IndexingRuleValueUpdate",
	may("Probabilistic", structure("ProbabilisticRuleValueUpdate", need("DesiredSamplingPercentage", nDouble))))

// Inputs are the shapes of requests, by operation.
var Inputs = map[string]*Shape{
	"BatchGetTraces":          input("BatchGetTraces", need("TraceIds", traceIDs), may("NextToken", plain)),
	"CancelTraceRetrieval":    input("CancelTraceRetrieval", need("RetrievalToken", retrieval)),
	"CreateGroup":             input("CreateGroup", need("GroupName", groupName), may("FilterExpression", filter), may("InsightsConfiguration", insights), may("Tags", tags)),
	"CreateSamplingRule":      input("CreateSamplingRule", need("SamplingRule", rule), may("Tags", tags)),
	"DeleteGroup":             input("DeleteGroup", may("GroupName", groupName), may("GroupARN", groupARN)),
	"DeleteResourcePolicy":    input("DeleteResourcePolicy", need("PolicyName", policyName), may("PolicyRevisionId", policyRevision)),
	"DeleteSamplingRule":      input("DeleteSamplingRule", may("RuleName", plain), may("RuleARN", plain)),
	"GetEncryptionConfig":     input("GetEncryptionConfig"),
	"GetGroup":                input("GetGroup", may("GroupName", groupName), may("GroupARN", groupARN)),
	"GetGroups":               input("GetGroups", may("NextToken", text("GetGroupsNextToken", between(1, 100)))),
	"GetIndexingRules":        input("GetIndexingRules", may("NextToken", plain)),
	"GetInsight":              input("GetInsight", need("InsightId", insightID)),
	"GetInsightEvents":        input("GetInsightEvents", need("InsightId", insightID), may("MaxResults", shape("GetInsightEventsMaxResults", Integer, between(1, 50))), may("NextToken", token)),
	"GetInsightImpactGraph":   input("GetInsightImpactGraph", need("InsightId", insightID), need("StartTime", timestamp), need("EndTime", timestamp), may("NextToken", token)),
	"GetRetrievedTracesGraph": input("GetRetrievedTracesGraph", need("RetrievalToken", retrieval), may("NextToken", plain)),
	"GetInsightSummaries": input("GetInsightSummaries",
		may("States", list("InsightStateList", text("InsightState", oneOf("ACTIVE", "CLOSED")), between(0, 1))), may("GroupARN", groupARN), may("GroupName", groupName),
		need("StartTime", timestamp), need("EndTime", timestamp), may("MaxResults", shape("GetInsightSummariesMaxResults", Integer, between(1, 100))), may("NextToken", token)),
	"GetSamplingRules":              input("GetSamplingRules", may("NextToken", plain)),
	"GetSamplingStatisticSummaries": input("GetSamplingStatisticSummaries", may("NextToken", plain)),
	"GetSamplingTargets":            input("GetSamplingTargets", need("SamplingStatisticsDocuments", statistics), may("SamplingBoostStatisticsDocuments", boostStatistics)),
	"GetServiceGraph": input("GetServiceGraph",
		need("StartTime", timestamp), need("EndTime", timestamp), may("GroupName", groupName), may("GroupARN", groupARN), may("NextToken", plain)),
	"GetTimeSeriesServiceStatistics": input("GetTimeSeriesServiceStatistics",
		need("StartTime", timestamp), need("EndTime", timestamp), may("GroupName", groupName), may("GroupARN", groupARN),
		may("EntitySelectorExpression", text("EntitySelectorExpression", between(1, 500))), may("Period", nInteger), may("ForecastStatistics", nBoolean), may("NextToken", plain)),
	"GetTraceGraph":              input("GetTraceGraph", need("TraceIds", traceIDs), may("NextToken", plain)),
	"GetTraceSegmentDestination": input("GetTraceSegmentDestination"),
	"GetTraceSummaries": input("GetTraceSummaries",
		// In the order that an error recorded; the orders of other enums were not
		// recorded.
		need("StartTime", timestamp), need("EndTime", timestamp), may("TimeRangeType", text("TimeRangeType", oneOf("TraceId", "Service", "Event"))),
		may("Sampling", nBoolean), may("SamplingStrategy", strategy), may("FilterExpression", filter), may("NextToken", plain)),
	"ListResourcePolicies": input("ListResourcePolicies", may("NextToken", text("ResourcePolicyNextToken", between(1, 100)))),
	"ListRetrievedTraces":  input("ListRetrievedTraces", need("RetrievalToken", retrieval), may("TraceFormat", text("TraceFormatType", oneOf("XRAY", "OTEL"))), may("NextToken", plain)),
	"ListTagsForResource":  input("ListTagsForResource", need("ResourceARN", arn), may("NextToken", plain)),
	"PutEncryptionConfig":  input("PutEncryptionConfig", may("KeyId", text("EncryptionKeyId", between(1, 3000))), need("Type", text("EncryptionType", oneOf("NONE", "KMS")))),
	"PutResourcePolicy": input("PutResourcePolicy",
		need("PolicyName", policyName), need("PolicyDocument", text("PolicyDocument")), may("PolicyRevisionId", policyRevision), may("BypassPolicyLockoutCheck", boolean)),
	"PutTelemetryRecords": input("PutTelemetryRecords", need("TelemetryRecords", telemetry),
		may("EC2InstanceId", text("EC2InstanceId", most(20))), may("Hostname", text("Hostname", most(255))), may("ResourceARN", resourceARN)),
	"PutTraceSegments":    input("PutTraceSegments", need("TraceSegmentDocuments", list("TraceSegmentDocumentList", text("TraceSegmentDocument")))),
	"StartTraceRetrieval": input("StartTraceRetrieval", need("TraceIds", list("TraceIdListForRetrieval", traceID, between(0, 100))), need("StartTime", timestamp), need("EndTime", timestamp)),
	"TagResource":         input("TagResource", need("ResourceARN", arn), need("Tags", tags)),
	"UntagResource":       input("UntagResource", need("ResourceARN", arn), need("TagKeys", list("TagKeyList", tagKey, between(0, 200)))),
	"UpdateGroup": input("UpdateGroup",
		may("GroupName", groupName), may("GroupARN", groupARN), may("FilterExpression", filter), may("InsightsConfiguration", insights)),
	"UpdateIndexingRule": input("UpdateIndexingRule", need("Name", plain), need("Rule", indexing)),
	"UpdateSamplingRule": input("UpdateSamplingRule", need("SamplingRuleUpdate", ruleUpdate)),
	"UpdateTraceSegmentDestination": input("UpdateTraceSegmentDestination",
		may("Destination", text("TraceSegmentDestination", oneOf("XRay", "CloudWatchLogs")))),
}

// constraint narrows a shape.
type constraint func(*Shape)

func least(n int) constraint          { return func(s *Shape) { s.Min = &n } }
func most(n int) constraint           { return func(s *Shape) { s.Max = &n } }
func between(min, max int) constraint { return func(s *Shape) { s.Min, s.Max = &min, &max } }
func matching(pattern string) constraint {
	return func(s *Shape) { s.Pattern, s.pattern = pattern, regexp.MustCompile("^(?:"+pattern+")$") }
}
func oneOf(values ...string) constraint     { return func(s *Shape) { s.Enum = values } }
func need(name string, shape *Shape) Member { return Member{Name: name, Shape: shape, Required: true} }
func may(name string, shape *Shape) Member  { return Member{Name: name, Shape: shape} }

func shape(name string, t Type, constraints ...constraint) *Shape {
	s := &Shape{Name: name, Type: t}
	for _, c := range constraints {
		c(s)
	}
	return s
}

func text(name string, constraints ...constraint) *Shape { return shape(name, String, constraints...) }

func list(name string, element *Shape, constraints ...constraint) *Shape {
	s := shape(name, List, constraints...)
	s.Element = element
	return s
}

func mapping(name string, key, value *Shape, constraints ...constraint) *Shape {
	s := shape(name, Map, constraints...)
	s.Key, s.Element = key, value
	return s
}

func structure(name string, members ...Member) *Shape {
	return &Shape{Name: name, Type: Structure, Members: members}
}

func union(name string, members ...Member) *Shape {
	return &Shape{Name: name, Type: Structure, Members: members, Union: true}
}

func input(operation string, members ...Member) *Shape {
	return structure(operation+"Request", members...)
}

// but returns the shape with other constraints than the model's.
func (s *Shape) but(why string, constraints ...constraint) *Shape {
	model := *s
	s.Model, s.Why = &model, why
	for _, c := range constraints {
		c(s)
	}
	return s
}

// but returns the member as in the model, but with the constraints and the alias of
// other.
func (m Member) but(why string, other Member) Member {
	model := m
	m.Required, m.Alias, m.Model, m.Why = other.Required, other.Alias, &model, why
	return m
}
