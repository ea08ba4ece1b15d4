package block

// traceRow is a row of the table traces. Nothing of it is read again here: the
// index says the same.
type traceRow struct {
	Account    string   `parquet:"account,dict"`
	TraceID    string   `parquet:"trace_id"`
	Start      int64    `parquet:"start,delta,timestamp(nanosecond)"`
	End        *int64   `parquet:"end,optional,timestamp(nanosecond)"`
	Duration   *int64   `parquet:"duration,optional"`
	Response   *int64   `parquet:"response_time,optional"`
	Fault      bool     `parquet:"fault"`
	Error      bool     `parquet:"error"`
	Throttle   bool     `parquet:"throttle"`
	InProgress bool     `parquet:"in_progress"`
	Segments   int32    `parquet:"segments,delta"`
	First      int64    `parquet:"first_received,delta,timestamp(nanosecond)"`
	Updated    int64    `parquet:"last_received,delta,timestamp(nanosecond)"`
	LSN        int64    `parquet:"lsn,delta"`
	Services   []string `parquet:"services,dict,list"`
	Keys       []string `parquet:"annotation_keys,dict,list"`
}

func traceRowOf(in *Info) traceRow {
	r := traceRow{
		Account: string(in.Account), TraceID: in.ID.String(), Start: int64(in.Start), Segments: int32(in.Segments),
		Fault: in.Flags&Fault != 0, Error: in.Flags&Error != 0, Throttle: in.Flags&Throttle != 0, InProgress: in.Flags&InProgress != 0,
		First: int64(in.First), Updated: int64(in.Updated), LSN: int64(in.LSN), Services: in.Services, Keys: in.Keys,
	}
	if in.End != 0 {
		end := int64(in.End)
		r.End = &end
	}
	if in.Duration != Unknown {
		d := int64(in.Duration)
		r.Duration = &d
	}
	if in.Response != Unknown {
		d := int64(in.Response)
		r.Response = &d
	}
	return r
}
