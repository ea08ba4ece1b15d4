package decode

import (
	"strconv"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxExceptions bounds the exceptions of one span, chained ones included.
const maxExceptions = 1000

// exception is one element of cause.exceptions.
type exception struct {
	id, cause        trace.SegmentID // cause: zero if there is none
	typ, message     string
	remote, noRemote bool // noRemote: the member is left out
	stack            []frame
}

// mapCause makes flags and exceptions from the span's status, its HTTP status
// and its events.
func (m *Mapper) mapCause(d *mapped) {
	d.setFlags(m)
	s := d.span
	if len(s.events) > 0 {
		m.eventCause(d)
	}
	d.eventCaused = d.hasCause
	if d.hasCause || s.status != statusError {
		return
	}
	message := s.statusText
	if message == "" {
		message = s.str(keyHTTPStatusText)
	}
	if message != "" {
		d.hasCause = true
		d.exceptions = append(d.exceptions, exception{id: d.exceptionID(0), message: message, noRemote: true})
	}
}

// setFlags classes the span: an HTTP status from 400 to 599 decides, else the
// status of the span.
func (d *mapped) setFlags(m *Mapper) {
	code := d.http.status
	if !m.native() {
		v := d.span.get(keyHTTPStatusCode)
		if v == nil {
			v = d.span.get(keyHTTPResponseStatusCode)
		}
		code = v.int()
	}
	switch {
	case code >= 400 && code <= 499:
		d.error, d.thrott = true, code == 429
	case code >= 500 && code <= 599:
		d.fault = true
	default:
		d.fault = d.span.status == statusError
	}
}

// eventCause makes exceptions of the events that tell of them.
func (m *Mapper) eventCause(d *mapped) {
	s := d.span
	remote := s.kind == kindClient || s.kind == kindProducer
	for i := range s.events {
		e := &s.events[i]
		switch {
		case e.name == "exception":
			d.hasCause = true
			d.addException(e, remote, m.native())
		case e.name == "HTTP request failure" && s.awsSDK():
			d.hasCause = true
			d.addHTTPFailure(e)
		}
	}
}

// addException adds the exception of an event and those that caused it.
func (d *mapped) addException(e *event, remote, lenient bool) {
	list := e.attrs
	chain := parseStack(d.res.language, find(list, keyExceptionStacktrace).str(), lenient)
	if len(chain) == 0 {
		chain = append(chain, stackException{})
	}
	chain[0].typ, chain[0].message = find(list, keyExceptionType).str(), find(list, keyExceptionMessage).str()
	for i := range chain {
		n := len(d.exceptions)
		if n >= maxExceptions {
			return
		}
		if i > 0 {
			d.exceptions[n-1].cause = d.exceptionID(n)
		}
		d.exceptions = append(d.exceptions, exception{
			id: d.exceptionID(n), typ: chain[i].typ, message: chain[i].message, remote: remote, stack: chain[i].frames,
		})
	}
}

// addHTTPFailure adds what AWS SDKs for Java record of attempts that failed:
// "<code>@<epoch seconds>@<message>".
func (d *mapped) addHTTPFailure(e *event) {
	code, message := find(e.attrs, keyHTTPResponseStatusCode), find(e.attrs, keyAWSHTTPErrorMessage)
	if code == nil || message == nil || len(d.exceptions) >= maxExceptions {
		return
	}
	at := strconv.FormatFloat(float64(int64(e.time)/1000)/1e6, 'f', 6, 64)
	d.exceptions = append(d.exceptions, exception{
		id: d.exceptionID(len(d.exceptions)), typ: "aws.http.error.event", remote: true,
		message: code.asText() + "@" + at + "@" + message.str(),
	})
}

// exceptionID is the id of the document's i-th exception. The collector draws
// it at random; here it follows from the span.
func (d *mapped) exceptionID(i int) trace.SegmentID { return derivedID(d.span, 'e'+d.part, i) }
