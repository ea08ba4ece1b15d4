package decode

import "github.com/fluoro-io/fluoro/internal/trace"

// sql reads the sql block (X-Ray developer guide, segment documents, "SQL
// queries").
func (d *documentReader) sql() *trace.SQL {
	var s trace.SQL
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "url":
			s.URL = d.text()
		case "database_type":
			s.DatabaseType = d.text()
		case "user":
			s.User = d.text()
		case "sanitized_query":
			s.SanitizedQuery = d.text()
		default:
			d.Skip()
		}
	}
	return unlessEmpty(&d.memory.sql, s)
}
