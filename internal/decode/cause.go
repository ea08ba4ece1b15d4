package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// cause reads the cause: the id of an exception in another entity (a string, or {"id":
// …} from Node), or exceptions (X-Ray developer guide, segment documents, "Errors and
// exceptions").
func (d *documentReader) cause() (c trace.Cause) {
	if d.Kind() == jsonscan.String {
		c.Ref = d.text()
		return c
	}
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "id":
			c.Ref = d.text()
		case "exceptions":
			c.Exceptions = nil
			for more := d.Array(); more; more = d.NextElement() {
				if d.Kind() == jsonscan.Object && len(c.Exceptions) < trace.MaxExceptions {
					c.Exceptions = append(c.Exceptions, d.exception())
				} else {
					d.Skip()
				}
			}
		default:
			d.Skip()
		}
	}
	return c
}

func (d *documentReader) exception() (e trace.Exception) {
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "id":
			e.ID = d.text()
		case "type":
			e.Type = d.text()
		case "message":
			e.Message = d.text()
		case "cause":
			e.Cause = d.text()
		case "remote":
			e.Remote = d.flag()
		default:
			d.Skip()
		}
	}
	return e
}
