package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// decodeCause reads the cause: the id of an exception that another entity holds
// (a string, or {"id": …} from Node), or exceptions (X-Ray developer guide,
// segment documents, "Errors and exceptions").
func decodeCause(v jsonscan.Value) (c trace.Cause) {
	if v.Kind() == jsonscan.String {
		c.Ref = v.Text()
		return c
	}
	for name, m := range v.Members() {
		switch string(name) {
		case "id":
			c.Ref = m.Text()
		case "exceptions":
			for e := range m.Elements() {
				if e.Kind() == jsonscan.Object {
					c.Exceptions = append(c.Exceptions, decodeException(e))
				}
			}
		}
	}
	return c
}

func decodeException(v jsonscan.Value) (e trace.Exception) {
	for name, m := range v.Members() {
		switch string(name) {
		case "id":
			e.ID = m.Text()
		case "type":
			e.Type = m.Text()
		case "message":
			e.Message = m.Text()
		case "cause":
			e.Cause = m.Text()
		case "remote":
			e.Remote = m.Bool()
		}
	}
	return e
}
