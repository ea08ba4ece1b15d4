package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// noSQL stands for blocks without a known member. It is shared and never changed.
var noSQL trace.SQL

// sql reads the sql block (X-Ray developer guide, segment documents, "SQL queries"). It
// returns nil for a value that is not an object.
func (d *documentReader) sql() *trace.SQL {
	isBlock := d.Kind() == jsonscan.Object
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
	if kept := d.memory.SQL(s); kept != nil || !isBlock {
		return kept
	}
	return &noSQL
}
