package wire

import (
	"math"
	"strconv"
)

// Timestamp is epoch seconds. Requests may use other forms, which validation
// converts to this one.
type Timestamp float64

// MarshalJSON writes at most microseconds, without an exponent.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, math.Round(float64(t)*1e6)/1e6, 'f', -1, 64), nil
}

// Count is an integer of 32 bits; validation truncates and saturates larger values.
type Count int32

// UnprocessedTraceSegment is one refused document.
type UnprocessedTraceSegment struct {
	ErrorCode string
	Id        *string
	Message   string
}

// PutTraceSegmentsResult is the answer of PutTraceSegments.
type PutTraceSegmentsResult struct {
	UnprocessedTraceSegments []UnprocessedTraceSegment
}

// PutTelemetryRecordsRequest is the request of PutTelemetryRecords.
type PutTelemetryRecordsRequest struct {
	EC2InstanceId    *string
	Hostname         *string
	ResourceARN      *string
	TelemetryRecords []*TelemetryRecord
}

// TelemetryRecord holds a daemon's counts of one minute.
type TelemetryRecord struct {
	BackendConnectionErrors *BackendConnectionErrors
	SegmentsReceivedCount   Count
	SegmentsRejectedCount   Count
	SegmentsSentCount       Count
	SegmentsSpilloverCount  Count
	Timestamp               *Timestamp
}

// BackendConnectionErrors counts a daemon's failed calls.
type BackendConnectionErrors struct {
	ConnectionRefusedCount Count
	HTTPCode4XXCount       Count
	HTTPCode5XXCount       Count
	OtherCount             Count
	TimeoutCount           Count
	UnknownHostCount       Count
}

// BatchGetTracesRequest is the request of BatchGetTraces and of GetTraceGraph.
type BatchGetTracesRequest struct {
	NextToken *string
	TraceIds  []*string
}

// BatchGetTracesResult is the answer of BatchGetTraces.
type BatchGetTracesResult struct {
	NextToken           *string
	Traces              []Trace
	UnprocessedTraceIds []string
}

// Trace is a trace with its documents.
type Trace struct {
	Duration      *float64
	Id            string
	LimitExceeded bool
	Segments      []Segment
}

// Segment is one document of a trace.
type Segment struct {
	Document string
	Id       string
}

// GetTraceSummariesRequest is the request of GetTraceSummaries.
type GetTraceSummariesRequest struct {
	EndTime          *Timestamp
	FilterExpression *string
	NextToken        *string
	Sampling         *bool
	SamplingStrategy *SamplingStrategy
	StartTime        *Timestamp
	TimeRangeType    *string
}

// SamplingStrategy selects a share of the traces.
type SamplingStrategy struct {
	Name  *string
	Value *float64
}

// GetTraceSummariesResult is the answer of GetTraceSummaries.
type GetTraceSummariesResult struct {
	ApproximateTime      Timestamp
	NextToken            *string
	TraceSummaries       []TraceSummary
	TracesProcessedCount int64
}

// TraceSummary describes one trace.
type TraceSummary struct {
	Annotations            map[string][]ValueWithServiceIds
	AnnotationsCut         bool `json:",omitempty"` // ours: there are attributes that are not shown
	AvailabilityZones      []AvailabilityZoneDetail
	Duration               *float64
	EntryPoint             *ServiceId
	ErrorRootCauses        []FaultRootCause
	FaultRootCauses        []FaultRootCause
	HasError               bool
	HasFault               bool
	HasThrottle            bool
	Http                   Http
	Id                     string
	InstanceIds            []InstanceIdDetail
	IsPartial              bool
	MatchedEventTime       *Timestamp
	ResourceARNs           []ResourceARNDetail
	ResponseTime           *float64
	ResponseTimeRootCauses []ResponseTimeRootCause
	Revision               int
	ServiceIds             []ServiceId
	StartTime              Timestamp
	Users                  []TraceUser
}

// Http is the root segment's request.
type Http struct {
	ClientIp   *string
	HttpMethod *string
	HttpStatus *int
	HttpURL    *string
	UserAgent  *string
}

// ValueWithServiceIds is one value of an annotation.
type ValueWithServiceIds struct {
	AnnotationValue AnnotationValue
	ServiceIds      []ServiceId
}

// AnnotationValue has exactly one member set.
type AnnotationValue struct {
	BooleanValue *bool
	NumberValue  *float64
	StringValue  *string
}

// TraceUser is a user of the traced application.
type TraceUser struct {
	ServiceIds []ServiceId
	UserName   string
}

// ServiceId identifies a node.
type ServiceId struct {
	AccountId *string
	Name      string
	Names     []string
	Type      *string
}

// ResourceARNDetail, InstanceIdDetail and AvailabilityZoneDetail tell where segments
// ran.
type ResourceARNDetail struct{ ARN string }

// InstanceIdDetail is an EC2 instance.
type InstanceIdDetail struct{ Id string }

// AvailabilityZoneDetail is an availability zone.
type AvailabilityZoneDetail struct{ Name string }

// FaultRootCause is a path to the start of faults; ErrorRootCause has the same
// members.
type FaultRootCause struct {
	ClientImpacting bool
	Services        []FaultRootCauseService
}

// FaultRootCauseService is a service on the path.
type FaultRootCauseService struct {
	AccountId  *string
	EntityPath []FaultRootCauseEntity
	Inferred   bool
	Name       string
	Names      []string
	Type       *string
}

// FaultRootCauseEntity is a segment or subsegment on the path.
type FaultRootCauseEntity struct {
	Exceptions []RootCauseException
	Name       string
	Remote     bool
}

// RootCauseException is an exception of an entity.
type RootCauseException struct {
	Message *string
	Name    *string
}

// ResponseTimeRootCause is a path to the entity that takes most of the time.
type ResponseTimeRootCause struct {
	ClientImpacting bool
	Services        []ResponseTimeRootCauseService
}

// ResponseTimeRootCauseService is a service on the path.
type ResponseTimeRootCauseService struct {
	AccountId  *string
	EntityPath []ResponseTimeRootCauseEntity
	Inferred   bool
	Name       string
	Names      []string
	Type       *string
}

// ResponseTimeRootCauseEntity is a segment or subsegment on the path.
type ResponseTimeRootCauseEntity struct {
	Coverage float64
	Name     string
	Remote   bool
}

// GetTraceGraphResult is the answer of GetTraceGraph.
type GetTraceGraphResult struct {
	NextToken *string
	Services  []Service
}

// GetServiceGraphRequest is the request of GetServiceGraph.
type GetServiceGraphRequest struct {
	EndTime   *Timestamp
	GroupARN  *string
	GroupName *string
	NextToken *string
	StartTime *Timestamp
}

// GetServiceGraphResult is the answer of GetServiceGraph.
type GetServiceGraphResult struct {
	ContainsOldGroupVersions bool
	EndTime                  *Timestamp
	NextToken                *string
	Services                 []Service
	StartTime                *Timestamp
}

// Service is a node of a graph.
type Service struct {
	AccountId             *string
	DurationHistogram     []HistogramEntry
	Edges                 []Edge
	EndTime               *Timestamp
	Name                  string
	Names                 []string
	ReferenceId           int
	ResponseTimeHistogram []HistogramEntry
	Root                  *bool
	StartTime             *Timestamp
	State                 string
	SummaryStatistics     *Statistics
	Type                  *string
}

// Edge is an outgoing edge of a node. Only edges made by links have EdgeType and
// ReceivedEventAgeHistogram.
type Edge struct {
	Aliases                   []Alias
	EdgeType                  string `json:",omitempty"`
	EndTime                   *Timestamp
	ReceivedEventAgeHistogram []HistogramEntry `json:",omitempty"`
	ReferenceId               int
	ResponseTimeHistogram     []HistogramEntry
	StartTime                 *Timestamp
	SummaryStatistics         *Statistics
}

// Alias is a name that a caller uses for a callee.
type Alias struct {
	Name  string
	Names []string
	Type  *string
}

// Statistics are ServiceStatistics and EdgeStatistics, which have the same
// members.
type Statistics struct {
	ErrorStatistics   ErrorStatistics
	FaultStatistics   FaultStatistics
	OkCount           int64
	TotalCount        int64
	TotalResponseTime float64
}

// ErrorStatistics counts 4xx.
type ErrorStatistics struct {
	OtherCount    int64
	ThrottleCount int64
	TotalCount    int64
}

// FaultStatistics counts 5xx.
type FaultStatistics struct {
	OtherCount int64
	TotalCount int64
}

// HistogramEntry is a value in seconds and its count.
type HistogramEntry struct {
	Count int64
	Value float64
}
