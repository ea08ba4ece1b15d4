package block

import (
	"github.com/klauspost/compress/zstd"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
)

// traceRow is a row of the table of traces, which only other programs read: the index has
// the same.
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

var traces = columnar.TableOf[traceRow]("account", "start", "end", "duration", "response_time", "segments", "first_received", "last_received", "lsn")

// writeTraces writes the table of an index's entries.
func writeTraces(pack *zstd.Encoder, x *index, write func([]byte) error) error {
	w := traces.NewWriter(pack)
	if err := write(columnar.Head()); err != nil {
		return err
	}
	var groups []columnar.Group
	offset, rows := int64(len(columnar.Head())), 0
	end := func() error {
		w.EndPage()
		b, g, err := w.EndGroup(rows, offset)
		if err != nil {
			return err
		}
		groups, offset, rows = append(groups, g), offset+int64(len(b)), 0
		return write(b)
	}
	for i := range x.entries {
		addTrace(w, x, &x.entries[i])
		if rows++; rows == traceGroup {
			if err := end(); err != nil {
				return err
			}
		}
	}
	if rows > 0 {
		if err := end(); err != nil {
			return err
		}
	}
	footer, err := traces.Footer(groups)
	if err != nil {
		return err
	}
	return write(footer)
}

// addTrace adds the columns in the order of traceRow's fields.
func addTrace(w *columnar.Writer, x *index, e *Entry) {
	column := -1
	next := func() *columnar.Column { column++; return w.Column(column) }
	known := func(v int64, is bool) {
		if is {
			next().Int(v)
		} else {
			next().Null()
		}
	}
	next().Text(string(x.accounts[e.account]))
	next().Text(e.ID.String())
	next().Int(int64(e.Start))
	known(int64(e.End), e.End != 0)
	known(int64(e.Duration), e.Duration != Unknown)
	known(int64(e.Response), e.Response != Unknown)
	for _, flag := range []Flags{Fault, Error, Throttle, InProgress} {
		next().Bool(e.Flags&flag != 0)
	}
	next().Int(int64(e.Segments))
	next().Int(int64(e.First))
	next().Int(int64(e.Updated))
	next().Int(int64(e.LSN))
	for _, set := range []uint32{e.services, e.keys} {
		c := next()
		numbers := x.sets.of(set)
		for i, n := range numbers {
			name := x.names[n]
			if isBucket(name) {
				name = othersName
			}
			c.Element(i == 0, 0, name)
		}
		if len(numbers) == 0 {
			c.Null()
		}
	}
}
