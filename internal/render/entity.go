package render

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Entity writes an entity of a segment document as one span, in the form of [OTLP]. The
// resource comes from doc, the document that holds the entity.
//
// The mapping is that of the OpenTelemetry collector's awsxrayreceiver, with these
// differences: times are exact, links are kept, an independent subsegment belongs to the
// service of its segment if that is known, and a block for which the receiver refuses
// the document is dropped or kept as text.
func Entity(doc *trace.Segment, e *trace.Entity) []byte {
	w := openTracesData()
	w.Open("resource")
	w.OpenList("attributes")
	service := doc.Name
	if owner := e.Segment; doc.Independent && owner != nil && owner.Gap == trace.NoGap {
		service = owner.Name // else it would belong to another service when it is sent back
	}
	w.resource(doc, service)
	w.Text = append(w.Text, ']', '}')
	w.OpenList("scopeSpans")
	w.Element()
	w.Open("scope")
	w.Close()
	w.OpenList("spans")
	w.Element()
	w.span(doc.TraceID, e)
	w.Text = append(w.Text, "}]}]}]}"...)
	return w.Text
}

// span writes the members of a span.
func (w *otlpWriter) span(id trace.ID, e *trace.Entity) {
	raw := jsonscan.Value(e.Raw)
	w.String("traceId", id.Hex())
	w.String("spanId", e.ID.String())
	if !e.ParentID.IsZero() {
		w.String("parentSpanId", e.ParentID.String())
	}
	w.String("name", e.Name)
	w.Int("kind", spanKind(e, raw))
	w.String("startTimeUnixNano", strconv.FormatInt(max(0, int64(e.Start)), 10))
	if !e.InProgress {
		w.String("endTimeUnixNano", strconv.FormatInt(max(0, int64(e.End)), 10))
	}
	w.OpenList("attributes")
	w.spanAttributes(e, raw)
	w.CloseList()
	cause := raw.Get("cause")
	w.exceptions(cause.Get("exceptions"))
	w.spanLinks(raw.Get("links"))
	w.Open("status")
	if k := cause.Kind(); k == jsonscan.Object || k == jsonscan.String {
		w.Some("message", cause.Text())
		w.Int("code", 2)
	} else if s, ok := raw.Get("http", "response", "status").Int(); ok && (s < 100 || s > 398) {
		w.Int("code", 2)
	}
	w.Close()
}

func spanKind(e *trace.Entity, raw jsonscan.Value) int64 {
	switch {
	case e.ParentID.IsZero():
		return otlp.KindServer
	case e.Remote():
		return otlp.KindClient
	case raw.Get("http", "request", "client_ip").Kind() == jsonscan.String:
		return otlp.KindServer
	}
	return otlp.KindInternal
}

// spanLinks writes the links of an entity that have valid ids.
func (w *otlpWriter) spanLinks(list jsonscan.Value) {
	some := false
	for v := range list.Elements() {
		l, ok := decode.Link(v)
		if !ok {
			continue
		}
		if !some {
			w.OpenList("links")
			some = true
		}
		w.Element()
		w.String("traceId", l.TraceID.Hex())
		w.String("spanId", l.ID.String())
		if state := v.Get("trace_state"); state.Kind() == jsonscan.String {
			w.Some("traceState", state.Text())
		}
		if attributes := v.Get("attributes"); attributes.Kind() == jsonscan.Object {
			w.OpenList("attributes")
			w.keyValues(attributes)
			w.CloseList()
		}
		w.Close()
	}
	if some {
		w.CloseList()
	}
}

// keyValues writes the members of an object as KeyValue messages.
func (w *otlpWriter) keyValues(v jsonscan.Value) {
	for name, value := range v.Members() {
		w.Element()
		w.String("key", jsonscan.Unquote(name))
		w.Open("value")
		w.anyValue(value)
		w.Close()
		w.Close()
	}
}

// anyValue writes a JSON value as the member of an AnyValue message; nothing for null.
// Documents nest at most jsonscan.MaxDepth deep.
func (w *otlpWriter) anyValue(v jsonscan.Value) {
	switch v.Kind() {
	case jsonscan.String:
		w.String("stringValue", v.Text())
	case jsonscan.Bool:
		w.Name("boolValue")
		w.Text = strconv.AppendBool(w.Text, v.Bool())
	case jsonscan.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		f, finite := v.Float()
		switch {
		case err == nil:
			w.String("intValue", strconv.FormatInt(n, 10))
		case finite:
			w.Name("doubleValue")
			w.Text = jsonscan.AppendFloat(w.Text, f)
		default: // OTLP has no such number
			w.String("stringValue", string(v))
		}
	case jsonscan.Array:
		w.Open("arrayValue")
		w.OpenList("values")
		for element := range v.Elements() {
			w.Element()
			w.anyValue(element)
			w.Close()
		}
		w.CloseList()
		w.Close()
	case jsonscan.Object:
		w.Open("kvlistValue")
		w.OpenList("values")
		w.keyValues(v)
		w.CloseList()
		w.Close()
	}
}

// The writers of attributes write nothing for a missing value or another type.

func (w *otlpWriter) attribute(key, typ string) {
	w.Element()
	w.String("key", key)
	w.Open("value")
	w.Name(typ)
}

func (w *otlpWriter) endAttribute() { w.Text = append(w.Text, '}', '}') }

func (w *otlpWriter) stringAttribute(key string, v jsonscan.Value) {
	if v.Kind() == jsonscan.String {
		w.textAttribute(key, v.Text())
	}
}

func (w *otlpWriter) textAttribute(key, s string) {
	w.attribute(key, "stringValue")
	w.Text = jsonscan.AppendString(w.Text, s)
	w.endAttribute()
}

func (w *otlpWriter) boolAttribute(key string, v jsonscan.Value) {
	if v.Kind() == jsonscan.Bool {
		w.attribute(key, "boolValue")
		w.Text = strconv.AppendBool(w.Text, v.Bool())
		w.endAttribute()
	}
}

func (w *otlpWriter) intAttribute(key string, v jsonscan.Value) {
	if n, ok := v.Int(); ok {
		w.attribute(key, "intValue")
		w.Text = append(strconv.AppendInt(append(w.Text, '"'), n, 10), '"')
		w.endAttribute()
	}
}

func (w *otlpWriter) doubleAttribute(key string, v jsonscan.Value) {
	if f, ok := v.Float(); ok {
		w.attribute(key, "doubleValue")
		w.Text = jsonscan.AppendFloat(w.Text, f)
		w.endAttribute()
	}
}

func (w *otlpWriter) listAttribute(key string, values []string) {
	if len(values) == 0 {
		return
	}
	w.attribute(key, "arrayValue")
	w.Text = append(w.Text, `{"values":[`...)
	for _, v := range values {
		w.Element()
		w.String("stringValue", v)
		w.Close()
	}
	w.Text = append(w.Text, ']', '}')
	w.endAttribute()
}

// names map members of a block to attributes.
type names []struct{ member, key string }

var (
	httpRequestNames = names{{"method", "http.method"}, {"client_ip", "http.client_ip"}, {"user_agent", "http.user_agent"}, {"url", "http.url"}}
	awsSpanNames     = names{
		{"account_id", "aws.account_id"}, {"operation", "aws.operation"}, {"region", "aws.region"}, {"request_id", "aws.request_id"},
		{"queue_url", "aws.queue_url"}, {"table_name", "aws.table_name"},
	}
	sqlNames = names{{"database_type", "db.system"}, {"sanitized_query", "db.statement"}, {"user", "db.user"}}
	ec2Names = names{{"availability_zone", "cloud.availability_zone"}, {"instance_id", "host.id"}, {"instance_size", "host.type"}, {"ami_id", "host.image.id"}}
)

func (w *otlpWriter) block(v jsonscan.Value, n names) {
	for _, a := range n {
		w.stringAttribute(a.key, v.Get(a.member))
	}
}

func (w *otlpWriter) spanAttributes(e *trace.Entity, raw jsonscan.Value) {
	if e.Namespace == "aws" {
		w.textAttribute("aws.service", e.Name)
	}
	w.stringAttribute("enduser.id", raw.Get("user"))
	w.boolAttribute("aws.xray.inprogress", raw.Get("in_progress"))
	w.boolAttribute("aws.xray.traced", raw.Get("traced"))
	request, response := raw.Get("http", "request"), raw.Get("http", "response")
	w.block(request, httpRequestNames)
	w.boolAttribute("aws.xray.x_forwarded_for", request.Get("x_forwarded_for"))
	w.intAttribute("http.status_code", response.Get("status"))
	w.intAttribute("http.response_content_length", response.Get("content_length"))
	w.stringAttribute("http.response_content_length", response.Get("content_length"))
	w.block(raw.Get("aws"), awsSpanNames)
	w.intAttribute("aws.xray.retries", raw.Get("aws", "retries"))
	w.sqlURL(raw.Get("sql", "url"))
	w.block(raw.Get("sql"), sqlNames)
	w.annotations(raw.Get("annotations"))
	for name, v := range raw.Get("metadata").Members() {
		w.textAttribute("aws.xray.metadata."+jsonscan.Unquote(name), string(v))
	}
}

// sqlURL splits the URL of a database into server and name.
func (w *otlpWriter) sqlURL(v jsonscan.Value) {
	if v.Kind() != jsonscan.String {
		return
	}
	server, name := v.Text(), ""
	if scheme, rest, ok := strings.Cut(server, "//"); ok {
		path, _, _ := strings.Cut(rest, "?")
		if i := strings.LastIndexByte(path, '/'); i > 0 && i < len(path)-1 {
			server, name = scheme+"//"+path[:i], path[i+1:]
		}
	}
	w.textAttribute("db.connection_string", server)
	if name != "" {
		w.textAttribute("db.name", name)
	}
}

func (w *otlpWriter) annotations(v jsonscan.Value) {
	var keys []string
	for name, value := range v.Members() {
		key := jsonscan.Unquote(name)
		keys = append(keys, key)
		w.stringAttribute(key, value)
		w.doubleAttribute(key, value)
		w.boolAttribute(key, value)
	}
	slices.Sort(keys)
	w.listAttribute("aws.xray.annotations", keys)
}

// exceptions writes an event for each exception of a cause.
func (w *otlpWriter) exceptions(list jsonscan.Value) {
	if list.Kind() != jsonscan.Array {
		return
	}
	w.OpenList("events")
	for x := range list.Elements() {
		w.Element()
		w.String("name", "exception")
		w.OpenList("attributes")
		w.block(x, names{{"type", "exception.type"}, {"message", "exception.message"}, {"id", "aws.xray.exception.id"}, {"cause", "aws.xray.exception.cause"}})
		w.boolAttribute("aws.xray.exception.remote", x.Get("remote"))
		w.intAttribute("aws.xray.exception.truncated", x.Get("truncated"))
		w.intAttribute("aws.xray.exception.skipped", x.Get("skipped"))
		w.textAttribute("exception.stacktrace", stackText(x))
		w.Text = append(w.Text, ']', '}')
	}
	w.CloseList()
}

// stackText writes a stack as Java does.
func stackText(x jsonscan.Value) string {
	var b strings.Builder
	b.WriteString(x.Get("type").Text() + ": " + x.Get("message").Text() + "\n")
	for frame := range x.Get("stack").Elements() {
		line := "<unknown>"
		if n, ok := frame.Get("line").Int(); ok {
			line = strconv.FormatInt(n, 10)
		}
		b.WriteString("\tat " + frame.Get("label").Text() + "(" + frame.Get("path").Text() + ": " + line + ")\n")
	}
	return b.String()
}

// resource writes the attributes of the sender of a document. If two blocks give the
// same attribute, the last one counts.
func (w *otlpWriter) resource(doc *trace.Segment, service string) {
	raw := jsonscan.Value(doc.Entity.Raw)
	aws := raw.Get("aws")
	w.textAttribute("service.name", service)
	w.stringAttribute("aws.xray.resource_arn", raw.Get("resource_arn"))
	provider := "unknown"
	if aws.Kind() == jsonscan.Object {
		provider = "aws"
	}
	w.textAttribute("cloud.provider", provider)
	w.stringAttribute("cloud.account.id", aws.Get("account_id"))
	w.logGroups(aws.Get("cloudwatch_logs"))
	w.block(aws.Get("ec2"), ec2Names)
	ecs, eks, beanstalk := aws.Get("ecs"), aws.Get("eks"), aws.Get("elastic_beanstalk")
	w.stringAttribute("container.name", ecs.Get("container"))
	w.stringAttribute("container.id", either(eks.Get("container_id"), ecs.Get("container_id")))
	w.stringAttribute("k8s.cluster.name", eks.Get("cluster_name"))
	w.stringAttribute("k8s.pod.name", eks.Get("pod"))
	w.stringAttribute("service.namespace", beanstalk.Get("environment_name"))
	if n, ok := beanstalk.Get("deployment_id").Int(); ok {
		w.textAttribute("service.instance.id", strconv.FormatInt(n, 10))
	}
	w.stringAttribute("service.version", either(raw.Get("service", "version"), beanstalk.Get("version_label")))
	sdk := aws.Get("xray", "sdk")
	w.stringAttribute("telemetry.sdk.name", sdk)
	w.stringAttribute("telemetry.sdk.version", aws.Get("xray", "sdk_version"))
	if throws(doc) {
		w.textAttribute("telemetry.sdk.language", "java")
	} else if _, language, ok := strings.Cut(sdk.Text(), "for "); ok {
		w.textAttribute("telemetry.sdk.language", language)
	}
}

func either(v, otherwise jsonscan.Value) jsonscan.Value {
	if v.Kind() == jsonscan.String {
		return v
	}
	return otherwise
}

func (w *otlpWriter) logGroups(list jsonscan.Value) {
	var arns, groups []string
	for g := range list.Elements() {
		if v := g.Get("arn"); v.Kind() == jsonscan.String {
			arns = append(arns, v.Text())
		}
		if v := g.Get("log_group"); v.Kind() == jsonscan.String {
			groups = append(groups, v.Text())
		}
	}
	w.listAttribute("aws.log.group.arns", arns)
	w.listAttribute("aws.log.group.names", groups)
}

// throws says whether any entity of a document has exceptions.
func throws(doc *trace.Segment) bool {
	stack := []*trace.Entity{&doc.Entity}
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		if len(e.Cause.Exceptions) > 0 {
			return true
		}
		stack = append(stack[:len(stack)-1], e.Subsegments...)
	}
	return false
}
