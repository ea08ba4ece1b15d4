package trace

// Record is the stored form of a segment: the received bytes, and when they were
// received. The segment can be restored from it.
type Record struct {
	TraceID    ID
	Source     Source
	Part       uint8 // distinguishes the segments made from one span
	ReceivedAt Time
	Scope      *OTLPScope // nil except for spans; may be shared
	Raw        []byte     // the document, or the span's protobuf message
}

// RecordOf returns the record of a segment. It shares the segment's memory.
func RecordOf(s *Segment) Record {
	return Record{TraceID: s.TraceID, Source: s.Source, Part: s.Part, ReceivedAt: s.ReceivedAt, Scope: s.Scope, Raw: s.Raw}
}
