package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// decodeSQL reads the sql block (X-Ray developer guide, segment documents, "SQL
// queries").
func decodeSQL(s *trace.SQL, v jsonscan.Value) {
	for name, m := range v.Members() {
		switch string(name) {
		case "url":
			s.URL = m.Text()
		case "database_type":
			s.DatabaseType = m.Text()
		case "user":
			s.User = m.Text()
		case "sanitized_query":
			s.SanitizedQuery = m.Text()
		}
	}
}
