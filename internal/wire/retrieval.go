package wire

// StartTraceRetrievalRequest is the request of StartTraceRetrieval.
type StartTraceRetrievalRequest struct {
	EndTime   *Timestamp
	StartTime *Timestamp
	TraceIds  []*string
}

// StartTraceRetrievalResult is the answer of StartTraceRetrieval.
type StartTraceRetrievalResult struct{ RetrievalToken string }

// CancelTraceRetrievalRequest is the request of CancelTraceRetrieval.
type CancelTraceRetrievalRequest struct{ RetrievalToken *string }

// ListRetrievedTracesRequest is the request of ListRetrievedTraces.
type ListRetrievedTracesRequest struct {
	NextToken      *string
	RetrievalToken *string
	TraceFormat    *string
}

// ListRetrievedTracesResult is the answer of ListRetrievedTraces.
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

// GetRetrievedTracesGraphRequest is the request of GetRetrievedTracesGraph.
type GetRetrievedTracesGraphRequest struct {
	NextToken      *string
	RetrievalToken *string
}

// GetRetrievedTracesGraphResult is the answer of GetRetrievedTracesGraph.
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

// GraphLink lists the traces that a trace links to. ReferenceType is parent for
// traces that sent to it, child for traces that received from it; the model does not
// name the values.
type GraphLink struct {
	DestinationTraceIds []string
	ReferenceType       string
	SourceTraceId       string
}
