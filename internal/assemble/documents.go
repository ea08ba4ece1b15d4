package assemble

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Document is one element of a trace as BatchGetTraces returns it.
type Document struct {
	ID   string
	JSON []byte
}

// Documents renders a trace as compact JSON: one document per segment, with its
// subsegments folded in, and one per inferred segment. Unknown members and the
// spelling of numbers are kept. Every Entity.Raw must be set. duration runs from the
// first start to the last end of the returned entities; known is false if none is
// completed, or if the last end lies before the first start. As in X-Ray, subsegment
// documents whose parent has not arrived are omitted. Placeholders for segments that
// the reader may not see come last and do not count for the duration.
func Documents(t *trace.Trace) (docs []Document, duration time.Duration, known bool) {
	return documents(t, false)
}

// AllDocuments is like Documents, and includes the subsegments whose parent has not
// arrived, below a placeholder.
func AllDocuments(t *trace.Trace) (docs []Document, duration time.Duration, known bool) {
	return documents(t, true)
}

func documents(t *trace.Trace, all bool) (docs []Document, duration time.Duration, known bool) {
	first, last := trace.MaxTime, trace.MinTime
	for _, s := range t.Segments {
		if !all && omittedNatively(s) {
			continue
		}
		for e := range Within(s) {
			first = min(first, e.Start)
			if !e.InProgress {
				last, known = max(last, e.End), true
			}
		}
		docs = append(docs, Document{ID: s.ID.String(), JSON: appendEntity(nil, t, s)})
	}
	for _, s := range t.Segments {
		if !all && omittedNatively(s) {
			continue
		}
		for e := range Within(s) {
			if infers(e) {
				docs = append(docs, inferred(t.ID, e))
			}
		}
	}
	for i := range t.Hidden {
		h := &t.Hidden[i]
		docs = append(docs, Document{ID: h.Entity.ID.String(), JSON: appendHidden(nil, t, h)})
	}
	if !known || last < first {
		return docs, 0, false
	}
	return docs, last.Sub(first), true
}

// omittedNatively reports whether X-Ray omits a segment: a placeholder that has only
// subsegment documents, which wait for their parent.
func omittedNatively(s *trace.Entity) bool {
	return s.Gap == trace.GapParent && !slices.ContainsFunc(s.Subsegments, func(e *trace.Entity) bool { return e.Span != nil })
}

// Parts renders a trace as Documents does, except that a segment whose document
// would exceed limit bytes is followed by each of its subsegments, at any depth, as
// an independent document. A single entity may still exceed the limit.
func Parts(t *trace.Trace, limit int) []Document {
	docs, _, _ := Documents(t)
	shown := slices.DeleteFunc(slices.Clone(t.Segments), omittedNatively)
	var out []Document
	for i, d := range docs {
		if len(d.JSON) <= limit || i >= len(shown) {
			out = append(out, d)
			continue
		}
		for e := range Within(shown[i]) {
			o := object{b: appendMembers(nil, t, e)}
			o.empty = o.b[len(o.b)-1] == '{'
			if e.Subsegment {
				o.text("type", "subsegment")
				o.text("trace_id", t.ID.String())
				o.text("parent_id", e.ParentID.String())
			}
			out = append(out, Document{ID: e.ID.String(), JSON: o.close()})
		}
	}
	return out
}

// object appends members to a JSON object.
type object struct {
	b     []byte
	empty bool
}

func openObject(b []byte) object { return object{append(b, '{'), true} }

// name appends a member's name, given as it stands between quotes in JSON text.
func (o *object) name(name string) {
	if !o.empty {
		o.b = append(o.b, ',')
	}
	o.empty = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.b = jsonscan.AppendString(o.b, value)
}

func (o *object) raw(name string, v jsonscan.Value) {
	o.name(name)
	o.b = appendCompact(o.b, v)
}

func (o *object) close() []byte { return append(o.b, '}') }

// frame is an entity being rendered: rendering uses its own stack, because
// subsegments nest as deeply as they chain.
type frame struct {
	entity *trace.Entity
	next   int // index of its next subsegment
}

// appendEntity appends a segment with all entities below it.
func appendEntity(b []byte, t *trace.Trace, root *trace.Entity) []byte {
	b = appendMembers(b, t, root)
	stack := []frame{{entity: root}}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next == len(f.entity.Subsegments) {
			if f.next > 0 {
				b = append(b, ']')
			}
			b = append(b, '}')
			stack = stack[:len(stack)-1]
			continue
		}
		if f.next == 0 {
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			b = append(b, `"subsegments":[`...)
		} else {
			b = append(b, ',')
		}
		child := f.entity.Subsegments[f.next]
		f.next++
		b = appendMembers(b, t, child)
		stack = append(stack, frame{entity: child})
	}
	return b
}

// appendMembers appends an entity's object without its subsegments and without the
// closing brace. It omits members that a folded subsegment inherits.
func appendMembers(b []byte, t *trace.Trace, e *trace.Entity) []byte {
	if e.Gap != trace.NoGap {
		return appendGap(b, t, e, 0)
	}
	o := openObject(b)
	for name, v := range jsonscan.Value(e.Raw).Members() {
		switch n := string(name); n {
		case "subsegments":
		case "type", "parent_id", "trace_id":
			if !e.Subsegment {
				o.raw(n, v)
			}
		case "name":
			o.text(n, e.Name) // cut to X-Ray's length
		case "http":
			o.name(n)
			o.b = appendHTTP(o.b, v)
		case "aws":
			o.name(n)
			o.b = appendAWS(o.b, e, v)
		case "cause":
			o.name(n)
			o.b = appendCause(o.b, v)
		default:
			o.raw(n, v)
		}
	}
	return o.b
}

// appendGap appends the members of a placeholder, which stands for a number of hidden
// segments or for a missing one.
func appendGap(b []byte, t *trace.Trace, e *trace.Entity, hidden int) []byte {
	o := openObject(b)
	o.text("name", e.Name)
	o.text("id", e.ID.String())
	o.text("trace_id", t.ID.String())
	if !e.ParentID.IsZero() {
		o.text("parent_id", e.ParentID.String())
	}
	o.time("start_time", e.Start)
	if e.InProgress {
		o.flag("in_progress")
	} else {
		o.time("end_time", e.End)
	}
	if e.Inferred {
		o.flag("inferred")
	}
	if e.Origin != "" {
		o.text("origin", e.Origin)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"error", e.Error}, {"fault", e.Fault}, {"throttle", e.Throttle}} {
		if f.set {
			o.flag(f.name)
		}
	}
	o.name("metadata")
	o.b = append(o.b, `{"fluoro":{"missing":`...)
	o.b = jsonscan.AppendString(o.b, e.Gap.Reason())
	if hidden > 0 {
		o.b = strconv.AppendInt(append(o.b, `,"hidden":`...), int64(hidden), 10)
	}
	return append(o.b, '}', '}')
}

func (o *object) flag(name string) {
	o.name(name)
	o.b = append(o.b, "true"...)
}

// time appends epoch seconds with all nanoseconds.
func (o *object) time(name string, at trace.Time) {
	o.name(name)
	if at < 0 {
		o.b = append(o.b, '-')
		at = -at
	}
	o.b = strconv.AppendInt(o.b, int64(at)/1e9, 10)
	if rest := int64(at) % 1e9; rest > 0 {
		o.b = append(append(o.b, '.'), strings.TrimRight(strconv.FormatInt(1e9+rest, 10)[1:], "0")...)
	}
}

// appendHTTP omits request.traced, which the service consumes.
func appendHTTP(b []byte, v jsonscan.Value) []byte {
	if v.Get("request", "traced").Kind() == jsonscan.Missing {
		return appendCompact(b, v)
	}
	o := openObject(b)
	for name, block := range v.Members() {
		if string(name) != "request" {
			o.raw(string(name), block)
			continue
		}
		o.name("request")
		request := openObject(o.b)
		for name, m := range block.Members() {
			if string(name) != "traced" {
				request.raw(string(name), m)
			}
		}
		o.b = request.close()
	}
	return o.close()
}

// appendAWS replaces the resource_names of calls with the resource that was
// resolved, or with nothing.
func appendAWS(b []byte, e *trace.Entity, v jsonscan.Value) []byte {
	if v.Kind() != jsonscan.Object || !e.Subsegment || e.Namespace != "aws" {
		return appendCompact(b, v)
	}
	o := openObject(b)
	resource := callee(e).Name
	written := resource == calleeName(e)
	for name, m := range v.Members() {
		if string(name) != "resource_names" {
			o.raw(string(name), m)
		} else if !written {
			o.resourceNames(resource)
			written = true
		}
	}
	if !written {
		o.resourceNames(resource)
	}
	return o.close()
}

func (o *object) resourceNames(resource string) {
	o.name("resource_names")
	o.b = append(o.b, '[')
	o.b = jsonscan.AppendString(o.b, resource)
	o.b = append(o.b, ']')
}

// appendCause omits empty stacks of exceptions, as the service does.
func appendCause(b []byte, v jsonscan.Value) []byte {
	if v.Get("exceptions").Kind() != jsonscan.Array {
		return appendCompact(b, v)
	}
	o := openObject(b)
	for name, m := range v.Members() {
		o.name(string(name))
		if string(name) != "exceptions" {
			o.b = appendCompact(o.b, m)
			continue
		}
		o.b = append(o.b, '[')
		first := true
		for x := range m.Elements() {
			if !first {
				o.b = append(o.b, ',')
			}
			first = false
			o.b = appendException(o.b, x)
		}
		o.b = append(o.b, ']')
	}
	return o.close()
}

func appendException(b []byte, v jsonscan.Value) []byte {
	if v.Kind() != jsonscan.Object {
		return appendCompact(b, v)
	}
	o := openObject(b)
	for name, m := range v.Members() {
		if string(name) == "stack" && m.Kind() == jsonscan.Array && !hasElements(m) {
			continue
		}
		o.raw(string(name), m)
	}
	return o.close()
}

func hasElements(v jsonscan.Value) bool {
	for range v.Elements() {
		return true
	}
	return false
}

// appendCompact appends a value without blanks between its tokens.
func appendCompact(b []byte, v jsonscan.Value) []byte {
	if v.Kind() != jsonscan.Object && v.Kind() != jsonscan.Array {
		return append(b, v...)
	}
	inString := false
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case inString && c == '\\':
			b = append(b, c)
			i++
			c = v[i]
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\n' || c == '\t' || c == '\r'):
			continue
		}
		b = append(b, c)
	}
	return b
}

// inferred renders the segment for a callee without a segment.
func inferred(id trace.ID, e *trace.Entity) Document {
	raw := jsonscan.Value(e.Raw)
	own := madeID(e.ID, "inferred").String()
	o := openObject(nil)
	o.text("id", own)
	name := e.Name
	if e.Namespace != "aws" {
		name = calleeName(e)
	}
	o.text("name", name)
	o.raw("start_time", raw.Get("start_time"))
	o.text("trace_id", id.String())
	o.raw("end_time", raw.Get("end_time"))
	o.text("parent_id", e.ID.String())
	o.name("inferred")
	o.b = append(o.b, "true"...)
	if v := raw.Get("http"); v.Kind() != jsonscan.Missing {
		o.name("http")
		o.b = appendHTTP(o.b, v)
	}
	if v := raw.Get("aws"); v.Kind() != jsonscan.Missing {
		o.name("aws")
		o.b = appendAWS(o.b, e, v)
	}
	for _, flag := range []string{"error", "fault", "throttle"} {
		if v := raw.Get(flag); v.Kind() != jsonscan.Missing {
			o.raw(flag, v)
		}
	}
	service := callee(e)
	if service.Type == typeSQL {
		o.raw("sql", raw.Get("sql"))
		o.text("origin", service.Type)
	}
	if e.Namespace == "aws" {
		o.text("origin", service.Type)
		if service.Type == "AWS::SQS::Queue" || e.AWS != nil && slices.Contains([]string{"SendMessage", "SendMessageBatch"}, e.AWS.Operation) {
			o.name("subsegments")
			o.b = append(o.b, '[')
			q := openObject(o.b)
			q.text("id", madeID(e.ID, "QueueTime").String())
			q.text("name", "QueueTime")
			q.raw("start_time", raw.Get("start_time"))
			q.raw("end_time", raw.Get("end_time"))
			o.b = append(q.close(), ']')
		}
	}
	return Document{ID: own, JSON: o.close()}
}
