package wire

// StartTraceRetrievalRequest asks StartTraceRetrieval.
type StartTraceRetrievalRequest struct {
	EndTime   *Timestamp
	StartTime *Timestamp
	TraceIds  []*string
}

// StartTraceRetrievalResult answers StartTraceRetrieval.
type StartTraceRetrievalResult struct{ RetrievalToken string }

// CancelTraceRetrievalRequest asks CancelTraceRetrieval.
type CancelTraceRetrievalRequest struct{ RetrievalToken *string }

// ListRetrievedTracesRequest asks ListRetrievedTraces.
type ListRetrievedTracesRequest struct {
	NextToken      *string
	RetrievalToken *string
	TraceFormat    *string
}

// ListRetrievedTracesResult answers ListRetrievedTraces.
type ListRetrievedTracesResult struct {
	NextToken       *string
	RetrievalStatus string
	TraceFormat     string
	Traces          []RetrievedTrace
}

// RetrievedTrace is a trace with some of its spans.
type RetrievedTrace struct {
	Duration *float64
	Id       string
	Spans    []Span
}

// Span is one document of a retrieved trace.
type Span struct {
	Document string
	Id       string
}

// GetRetrievedTracesGraphRequest asks GetRetrievedTracesGraph.
type GetRetrievedTracesGraphRequest struct {
	NextToken      *string
	RetrievalToken *string
}

// GetRetrievedTracesGraphResult answers GetRetrievedTracesGraph.
type GetRetrievedTracesGraphResult struct {
	NextToken       *string
	RetrievalStatus string
	Services        []RetrievedService
}

// RetrievedService is a node of the graph of retrieved traces.
type RetrievedService struct {
	Links   []GraphLink
	Service Service
}

// GraphLink says which traces a trace has links to. ReferenceType is parent for those
// that came before it, child for those that came after; the model names no values.
type GraphLink struct {
	DestinationTraceIds []string
	ReferenceType       string
	SourceTraceId       string
}
