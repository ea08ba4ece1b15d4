package decode

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// EntityOTLP is an entity of a segment document as one span, in the form of
// [OTLPText]. The resource is made of the document that holds the entity, doc.
//
// The mapping is that of the OpenTelemetry collector's awsxrayreceiver, but that
// times are exact, links are kept, an independent subsegment belongs to the service
// of its segment where that is known, and a block that the receiver would refuse the
// document for is left out or kept as text.
func EntityOTLP(doc *trace.Segment, e *trace.Entity) []byte {
	w := openTracesData()
	w.open("resource")
	w.list("attributes")
	service := doc.Name
	if owner := e.Segment; doc.Independent && owner != nil && owner.Gap == trace.NoGap {
		service = owner.Name // else it would come back as another service's
	}
	w.resource(doc, service)
	w.b = append(w.b, ']', '}')
	w.list("scopeSpans")
	w.element()
	w.open("scope")
	w.close()
	w.list("spans")
	w.element()
	w.span(doc.TraceID, e)
	w.b = append(w.b, "}]}]}]}"...)
	return w.b
}

// span writes the members of a span.
func (w *otlpWriter) span(id trace.ID, e *trace.Entity) {
	raw := jsonscan.Value(e.Raw)
	w.text("traceId", id.Hex())
	w.text("spanId", e.ID.String())
	if !e.ParentID.IsZero() {
		w.text("parentSpanId", e.ParentID.String())
	}
	w.text("name", e.Name)
	w.int("kind", spanKind(e, raw))
	w.text("startTimeUnixNano", strconv.FormatInt(max(0, int64(e.Start)), 10))
	if !e.InProgress {
		w.text("endTimeUnixNano", strconv.FormatInt(max(0, int64(e.End)), 10))
	}
	w.list("attributes")
	w.spanAttributes(e, raw)
	w.b = append(w.b, ']')
	cause := raw.Get("cause")
	w.exceptions(cause.Get("exceptions"))
	w.spanLinks(raw.Get("links"))
	w.open("status")
	if k := cause.Kind(); k == jsonscan.Object || k == jsonscan.String {
		w.some("message", cause.Text())
		w.int("code", 2)
	} else if s, ok := raw.Get("http", "response", "status").Int(); ok && (s < 100 || s > 398) {
		w.int("code", 2)
	}
	w.close()
}

func spanKind(e *trace.Entity, raw jsonscan.Value) int64 {
	switch {
	case e.ParentID.IsZero():
		return kindServer
	case e.Remote():
		return kindClient
	case raw.Get("http", "request", "client_ip").Kind() == jsonscan.String:
		return kindServer
	}
	return kindInternal
}

// spanLinks writes the links of an entity that lead somewhere.
func (w *otlpWriter) spanLinks(list jsonscan.Value) {
	some := false
	for v := range list.Elements() {
		l, ok := documentLink(v.Get("trace_id"), v.Get("id"), v.Get("attributes"))
		if !ok {
			continue
		}
		if !some {
			w.list("links")
			some = true
		}
		w.element()
		w.text("traceId", l.TraceID.Hex())
		w.text("spanId", l.ID.String())
		if state := v.Get("trace_state"); state.Kind() == jsonscan.String {
			w.some("traceState", state.Text())
		}
		if attributes := v.Get("attributes"); attributes.Kind() == jsonscan.Object {
			w.list("attributes")
			w.keyValues(attributes)
			w.b = append(w.b, ']')
		}
		w.close()
	}
	if some {
		w.b = append(w.b, ']')
	}
}

// keyValues writes the members of an object as KeyValue messages.
func (w *otlpWriter) keyValues(v jsonscan.Value) {
	for name, value := range v.Members() {
		w.element()
		w.text("key", jsonscan.Unquote(name))
		w.open("value")
		w.anyValue(value)
		w.close()
		w.close()
	}
}

// anyValue writes the member of an AnyValue message that holds a JSON value: none for
// null. Documents nest at most jsonscan.MaxDepth deep.
func (w *otlpWriter) anyValue(v jsonscan.Value) {
	switch v.Kind() {
	case jsonscan.String:
		w.text("stringValue", v.Text())
	case jsonscan.Bool:
		w.name("boolValue")
		w.b = strconv.AppendBool(w.b, v.Bool())
	case jsonscan.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		f, finite := v.Float()
		switch {
		case err == nil:
			w.text("intValue", strconv.FormatInt(n, 10))
		case finite:
			w.name("doubleValue")
			w.b = appendFloat(w.b, f)
		default: // no number that OTLP has
			w.text("stringValue", string(v))
		}
	case jsonscan.Array:
		w.open("arrayValue")
		w.list("values")
		for element := range v.Elements() {
			w.element()
			w.anyValue(element)
			w.close()
		}
		w.b = append(w.b, ']')
		w.close()
	case jsonscan.Object:
		w.open("kvlistValue")
		w.list("values")
		w.keyValues(v)
		w.b = append(w.b, ']')
		w.close()
	}
}

// The writers of attributes write nothing for what is absent or of another type.

func (w *otlpWriter) attribute(key, typ string) {
	w.element()
	w.text("key", key)
	w.open("value")
	w.name(typ)
}

func (w *otlpWriter) endAttribute() { w.b = append(w.b, '}', '}') }

func (w *otlpWriter) stringAttribute(key string, v jsonscan.Value) {
	if v.Kind() == jsonscan.String {
		w.textAttribute(key, v.Text())
	}
}

func (w *otlpWriter) textAttribute(key, s string) {
	w.attribute(key, "stringValue")
	w.b = jsonscan.AppendString(w.b, s)
	w.endAttribute()
}

func (w *otlpWriter) boolAttribute(key string, v jsonscan.Value) {
	if v.Kind() == jsonscan.Bool {
		w.attribute(key, "boolValue")
		w.b = strconv.AppendBool(w.b, v.Bool())
		w.endAttribute()
	}
}

func (w *otlpWriter) intAttribute(key string, v jsonscan.Value) {
	if n, ok := v.Int(); ok {
		w.attribute(key, "intValue")
		w.b = append(strconv.AppendInt(append(w.b, '"'), n, 10), '"')
		w.endAttribute()
	}
}

func (w *otlpWriter) doubleAttribute(key string, v jsonscan.Value) {
	if f, ok := v.Float(); ok {
		w.attribute(key, "doubleValue")
		w.b = appendFloat(w.b, f)
		w.endAttribute()
	}
}

func (w *otlpWriter) listAttribute(key string, values []string) {
	if len(values) == 0 {
		return
	}
	w.attribute(key, "arrayValue")
	w.b = append(w.b, `{"values":[`...)
	for _, v := range values {
		w.element()
		w.text("stringValue", v)
		w.close()
	}
	w.b = append(w.b, ']', '}')
	w.endAttribute()
}

// names are the attributes that members of a block become.
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
	w.list("events")
	for x := range list.Elements() {
		w.element()
		w.text("name", "exception")
		w.list("attributes")
		w.block(x, names{{"type", "exception.type"}, {"message", "exception.message"}, {"id", "aws.xray.exception.id"}, {"cause", "aws.xray.exception.cause"}})
		w.boolAttribute("aws.xray.exception.remote", x.Get("remote"))
		w.intAttribute("aws.xray.exception.truncated", x.Get("truncated"))
		w.intAttribute("aws.xray.exception.skipped", x.Get("skipped"))
		w.textAttribute("exception.stacktrace", stackText(x))
		w.b = append(w.b, ']', '}')
	}
	w.b = append(w.b, ']')
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

// resource writes the attributes of what sent a document. Of those that two
// blocks give, the last one counts.
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

// throws says whether an entity of a document has exceptions.
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
