package otlp

import (
	"strconv"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Exception is one element of cause.exceptions.
type Exception struct {
	ID, Cause        trace.SegmentID // Cause: the id of the exception that caused it, zero if none
	Type, Message    string
	Remote, NoRemote bool // NoRemote: the document has no member "remote"
	Stack            []Frame
}

// mapCause derives flags and exceptions from the span's status, its HTTP status and its
// events.
func (m *Mapper) mapCause(d *Document) {
	d.setFlags(m)
	s := d.Span
	if len(s.Events) > 0 {
		m.eventCause(d)
	}
	d.eventCaused = d.HasCause
	if d.HasCause || s.Status != statusError {
		return
	}
	message := s.StatusText
	if message == "" {
		message = s.str(keyHTTPStatusText)
	}
	if message != "" {
		d.HasCause = true
		d.Exceptions = append(d.Exceptions, Exception{ID: d.exceptionID(0), Message: message, NoRemote: true})
	}
}

// setFlags sets fault, error and throttle: by an HTTP status from 400 to 599, else by
// the status of the span.
func (d *Document) setFlags(m *Mapper) {
	code := d.HTTP.Status
	if !m.native() {
		v := d.Span.get(keyHTTPStatusCode)
		if v == nil {
			v = d.Span.get(keyHTTPResponseStatusCode)
		}
		code = v.int()
	}
	switch {
	case code >= 400 && code <= 499:
		d.Error, d.Throttle = true, code == 429
	case code >= 500 && code <= 599:
		d.Fault = true
	default:
		d.Fault = d.Span.Status == statusError
	}
}

// eventCause turns the events that report exceptions into exceptions.
func (m *Mapper) eventCause(d *Document) {
	s := d.Span
	remote := s.Kind == KindClient || s.Kind == KindProducer
	for i := range s.Events {
		e := &s.Events[i]
		switch {
		case e.Name == "exception":
			d.HasCause = true
			d.addException(e, remote, m.native())
		case e.Name == "HTTP request failure" && s.awsSDK():
			d.HasCause = true
			d.addHTTPFailure(e)
		}
	}
}

// addException adds the exception of an event and its causes.
func (d *Document) addException(e *Event, remote, lenient bool) {
	list := e.Attributes
	chain := parseStack(d.res.language, find(list, keyExceptionStacktrace).Text(), lenient)
	if len(chain) == 0 {
		chain = append(chain, stackException{})
	}
	chain[0].typ, chain[0].message = find(list, keyExceptionType).Text(), find(list, keyExceptionMessage).Text()
	for i := range chain {
		n := len(d.Exceptions)
		if n >= trace.MaxExceptions {
			return
		}
		if i > 0 {
			d.Exceptions[n-1].Cause = d.exceptionID(n)
		}
		d.Exceptions = append(d.Exceptions, Exception{
			ID: d.exceptionID(n), Type: chain[i].typ, Message: chain[i].message, Remote: remote, Stack: chain[i].frames,
		})
	}
}

// addHTTPFailure adds a failed attempt that the AWS SDK for Java recorded, as
// "<code>@<epoch seconds>@<message>".
func (d *Document) addHTTPFailure(e *Event) {
	code, message := find(e.Attributes, keyHTTPResponseStatusCode), find(e.Attributes, keyAWSHTTPErrorMessage)
	if code == nil || message == nil || len(d.Exceptions) >= trace.MaxExceptions {
		return
	}
	at := strconv.FormatFloat(float64(int64(e.Time)/1000)/1e6, 'f', 6, 64)
	d.Exceptions = append(d.Exceptions, Exception{
		ID: d.exceptionID(len(d.Exceptions)), Type: "aws.http.error.event", Remote: true,
		Message: code.asText() + "@" + at + "@" + message.Text(),
	})
}

// exceptionID derives the id of the document's i-th exception from the span. The
// collector draws it at random.
func (d *Document) exceptionID(i int) trace.SegmentID { return derivedID(d.Span, 'e'+d.Part, i) }
