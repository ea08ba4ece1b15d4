package trace

// Record is what is stored of a segment: what was received, and when. It is enough
// to restore the segment.
type Record struct {
	TraceID    ID
	Source     Source
	Part       uint8 // which of the segments of one span this is
	ReceivedAt Time
	Scope      *OTLPScope // nil but for spans; may be shared
	Raw        []byte     // the document, or the span's protobuf message
}

// RecordOf returns the record of a segment. It shares the segment's memory.
func RecordOf(s *Segment) Record {
	return Record{TraceID: s.TraceID, Source: s.Source, Part: s.Part, ReceivedAt: s.ReceivedAt, Scope: s.Scope, Raw: s.Raw}
}
