package decode

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Text is the segment document of a span, one JSON object without blanks. opens
// says that the span is the first of its service in its trace, which only the
// trace knows: then it is a segment. An error says that Segment.Raw is no span.
func (m *Mapper) Text(seg *trace.Segment, opens bool) ([]byte, error) {
	scope := seg.Scope
	if scope == nil {
		scope = new(trace.OTLPScope)
	}
	res, err := m.parseResource(scope)
	if err != nil {
		return nil, fmt.Errorf("render span %s: resource: %w", seg.ID, err)
	}
	var s span
	if err := s.parse(seg.Raw); err != nil {
		return nil, fmt.Errorf("render span %s: %w", seg.ID, err)
	}
	var d mapped
	m.mapSpanAs(&d, &s, res, seg.Part, opens)
	return m.appendDocument(make([]byte, 0, 2*len(seg.Raw)+512), &d), nil
}

// jsonWriter appends the members of objects.
type jsonWriter struct{ b []byte }

func (w *jsonWriter) open(name string) {
	w.name(name)
	w.b = append(w.b, '{')
}

func (w *jsonWriter) close() { w.b = append(w.b, '}') }

// name appends the name of a member of our own, which needs no escapes.
func (w *jsonWriter) name(name string) {
	w.b = append(separate(w.b), '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *jsonWriter) text(name, s string) {
	w.name(name)
	w.b = jsonscan.AppendString(w.b, s)
}

// some writes the member unless it is empty.
func (w *jsonWriter) some(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

// orNull writes the member, null if it is empty.
func (w *jsonWriter) orNull(name, s string) {
	if s == "" {
		w.name(name)
		w.b = append(w.b, "null"...)
		return
	}
	w.text(name, s)
}

func (w *jsonWriter) flag(name string, v bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *jsonWriter) int(name string, v int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

// time writes epoch seconds: all nanoseconds as decimals, or as the collector
// does the nearest float64, which is good to 200 ns.
func (m *Mapper) time(w *jsonWriter, name string, ns uint64) {
	w.name(name)
	if !m.native() {
		w.b = appendFloat(w.b, float64(ns)/1e9)
		return
	}
	w.b = appendSeconds(w.b, ns)
}

func appendSeconds(b []byte, ns uint64) []byte {
	b = strconv.AppendUint(b, ns/1e9, 10)
	if frac := ns % 1e9; frac > 0 {
		digits := strconv.AppendUint(nil, 1e9+frac, 10)
		b = append(append(b, '.'), strings.TrimRight(string(digits[1:]), "0")...)
	}
	return b
}

// appendDocument writes the document in the order of the collector's.
func (m *Mapper) appendDocument(b []byte, d *mapped) []byte {
	w := &jsonWriter{append(b, '{')}
	s := d.span
	w.orNull("name", d.name) // empty only in the compatible profile
	w.text("id", d.id.String())
	m.time(w, "start_time", s.start)
	if d.res.hasVersion() {
		w.open("service")
		w.some("version", d.res.version)
		w.close()
	}
	w.some("origin", d.res.origin)
	w.some("user", d.user)
	w.some("resource_arn", d.res.arn)
	if len(s.links) > 0 && d.keepsLinks() {
		m.links(w, s)
	}
	w.text("trace_id", s.traceID.String())
	if d.inProgress {
		w.flag("in_progress", true)
	} else {
		m.time(w, "end_time", s.end)
	}
	d.http.write(w)
	w.flag("fault", d.fault)
	w.flag("error", d.error)
	w.flag("throttle", d.thrott)
	if d.hasCause {
		d.writeCause(w)
	}
	if d.aws.present {
		m.writeAWS(w, d)
	}
	m.writeAttributes(w, d)
	w.some("namespace", d.namespace)
	if !d.parent.IsZero() {
		w.text("parent_id", d.parent.String())
	}
	if d.subsegment {
		w.text("type", "subsegment")
	}
	m.writeSQL(w, d)
	w.close()
	return w.b
}

func (m *Mapper) links(w *jsonWriter, s *span) {
	w.name("links")
	w.b = append(w.b, '[')
	for i := range s.links {
		l := &s.links[i]
		w.b = append(separate(w.b), '{')
		w.text("trace_id", l.traceID.String())
		id := ""
		if !l.id.IsZero() {
			id = l.id.String()
		}
		w.text("id", id)
		writeAttrs(w, l.attrs)
		if m.native() {
			w.some("trace_state", l.state)
		}
		w.close()
	}
	w.b = append(w.b, ']')
}

// writeAttrs writes a member "attributes" unless there are none.
func writeAttrs(w *jsonWriter, list []attr) {
	if len(list) == 0 {
		return
	}
	var o object
	for i := range list {
		o.add(list[i].name(), &list[i].value)
	}
	w.name("attributes")
	w.b = o.appendJSON(w.b)
}

func (h *httpBlock) write(w *jsonWriter) {
	if !h.present {
		return
	}
	w.open("http")
	w.open("request")
	if h.forwarded {
		w.flag("x_forwarded_for", true)
	}
	w.some("method", h.method)
	w.some("url", h.url)
	w.some("user_agent", h.userAgent)
	w.some("client_ip", h.clientIP)
	w.close()
	w.open("response")
	if h.hasStatus {
		w.int("status", h.status)
	}
	w.int("content_length", h.contentLength)
	w.close()
	w.close()
}

func (m *Mapper) writeSQL(w *jsonWriter, d *mapped) {
	q := &d.sql
	if !q.present {
		return
	}
	w.open("sql")
	w.text("connection_string", m.connection(d))
	w.some("url", q.url)
	w.some("sanitized_query", q.query)
	w.some("database_type", q.system)
	w.some("user", q.user)
	w.close()
}

func (d *mapped) writeCause(w *jsonWriter) {
	w.open("cause")
	if len(d.exceptions) > 0 {
		w.name("exceptions")
		w.b = append(w.b, '[')
		for i := range d.exceptions {
			d.exceptions[i].write(w)
		}
		w.b = append(w.b, ']')
	}
	w.close()
}

func (x *exception) write(w *jsonWriter) {
	w.b = append(separate(w.b), '{')
	w.text("id", x.id.String())
	w.text("message", x.message)
	w.text("type", x.typ)
	if !x.noRemote {
		w.flag("remote", x.remote)
	}
	if !x.cause.IsZero() {
		w.text("cause", x.cause.String())
	}
	if len(x.stack) > 0 {
		w.name("stack")
		w.b = append(w.b, '[')
		for i := range x.stack {
			w.b = append(separate(w.b), '{')
			w.text("path", x.stack[i].path)
			w.int("line", int64(x.stack[i].line))
			w.text("label", x.stack[i].label)
			w.close()
		}
		w.b = append(w.b, ']')
	}
	w.close()
}

func (m *Mapper) writeAWS(w *jsonWriter, d *mapped) {
	a, r := &d.aws, d.res
	w.open("aws")
	m.writeHost(w, r)
	w.open("xray")
	w.some("sdk", r.sdk())
	w.some("sdk_version", r.str(keyTelemetrySDKVersion))
	w.flag("auto_instrumentation", r.instrumented())
	w.some("sampling_rule_name", a.samplingRule)
	w.close()
	w.some("account_id", a.account)
	w.some("operation", a.operation)
	w.some("region", a.region)
	w.some("request_id", a.requestID)
	w.some("id_2", a.extendedID)
	w.some("queue_url", a.queueURL)
	w.some("table_name", a.tableName)
	if len(a.tableNames) > 0 {
		w.name("table_names")
		w.b = append(w.b, '[')
		for _, name := range a.tableNames {
			w.b = jsonscan.AppendString(separate(w.b), name)
		}
		w.b = append(w.b, ']')
	}
	w.some("bucket_name", a.bucket)
	w.some("topic_arn", a.topicARN)
	w.some("function_name", a.function)
	w.close()
}

// writeHost writes what the service runs on.
func (m *Mapper) writeHost(w *jsonWriter, r *resource) {
	platform := r.str(keyCloudPlatform)
	zone, container := r.str(keyCloudAvailabilityZone), r.str(keyContainerID)
	if platform == "aws_elastic_beanstalk" && r.str(keyServiceInstanceID) != "" {
		w.open("elastic_beanstalk")
		w.orNull("environment_name", r.str(keyServiceNamespace))
		w.orNull("version_label", r.str(keyServiceVersion))
		w.int("deployment_id", r.deployment())
		w.close()
	}
	if groups := r.logGroups(m.options.LogGroups); len(groups) > 0 {
		w.name("cloudwatch_logs")
		w.b = append(w.b, '[')
		for _, g := range groups {
			w.b = append(separate(w.b), '{')
			w.orNull("log_group", g.name)
			w.some("arn", g.arn)
			w.close()
		}
		w.b = append(w.b, ']')
	}
	if platform == "aws_ecs" {
		w.open("ecs")
		w.some("container", r.str(keyContainerName))
		w.some("container_id", container)
		w.some("task_arn", r.str(keyAWSECSTaskARN))
		w.some("task_family", r.str(keyAWSECSTaskFamily))
		w.some("cluster_arn", r.str(keyAWSECSClusterARN))
		w.some("container_arn", r.str(keyAWSECSContainerARN))
		w.some("availability_zone", zone)
		w.some("launch_type", r.str(keyAWSECSLaunchtype))
		w.close()
	}
	if r.ec2 {
		w.open("ec2")
		w.orNull("instance_id", r.str(keyHostID))
		w.orNull("availability_zone", zone)
		w.orNull("instance_size", r.str(keyHostType))
		w.orNull("ami_id", r.str(keyHostImageID))
		w.close()
	}
	if cluster := r.str(keyK8sClusterName); platform == "aws_eks" || cluster != "" {
		w.open("eks")
		w.orNull("cluster_name", cluster)
		w.orNull("pod", r.str(keyK8sPodName))
		w.orNull("container_id", container)
		w.close()
	}
}

// writeAttributes writes annotations and metadata.
func (m *Mapper) writeAttributes(w *jsonWriter, d *mapped) {
	var annotations, plain, namespaces object
	m.eachAttribute(d, func(name string, v *anyValue, use attributeUse) {
		switch {
		case use == useAnnotation:
			annotations.add(m.annotationKey(name), v)
		case use == useNamespace:
			m.namespace(&namespaces, &plain, d, name, v.str())
		default:
			plain.add(name, v)
		}
	})
	if len(annotations.names) > 0 {
		w.name("annotations")
		w.b = annotations.appendJSON(w.b)
	}
	if len(plain.names) > 0 {
		d.restrict(&plain)
		if len(plain.names) > 0 || !m.native() {
			namespaces.set("default", plain.appendJSON(nil))
		}
	}
	if m.native() && d.part == 0 {
		name := "otel"
		if namespaces.find(name) >= 0 {
			name = "opentelemetry"
		}
		namespaces.set(name, m.telemetry(d))
	}
	if len(namespaces.names) > 0 {
		w.name("metadata")
		w.b = namespaces.appendJSON(w.b)
	}
}

// restrict leaves in a metadata namespace of a service segment what describes
// the service.
func (d *mapped) restrict(o *object) {
	if d.part == 0 {
		return
	}
	all := *o
	*o = object{}
	for i, name := range all.names {
		if strings.HasPrefix(name, resourcePrefix) {
			o.set(name, all.values[i])
		}
	}
}

// namespace takes an attribute aws.xray.metadata.<namespace>, whose value is the
// text of a JSON object; other text stays a plain attribute.
func (m *Mapper) namespace(namespaces, plain *object, d *mapped, name, value string) {
	v, err := jsonscan.Parse([]byte(value))
	if kind := v.Kind(); err != nil || kind != jsonscan.Object && kind != jsonscan.Null {
		plain.set(name, jsonscan.AppendString(nil, value))
		return
	}
	target := strings.TrimPrefix(name, metadataPrefix)
	var o object
	for member, value := range v.Members() {
		o.set(jsonscan.Unquote(member), value)
	}
	switch {
	case strings.EqualFold(target, "default"):
		for i, name := range o.names {
			plain.set(name, o.values[i])
		}
	case v.Kind() == jsonscan.Null:
		namespaces.set(target, []byte("null"))
	default:
		d.restrict(&o)
		namespaces.set(target, o.appendJSON(nil))
	}
}

var kindNames = [...]string{"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"}

var statusNames = [...]string{"UNSET", "OK", "ERROR"}

// nameOf is the name of an enum value, its number if it has none.
func nameOf(names []string, v int32) string {
	if v >= 0 && int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

// telemetry is metadata.otel: what a span has and a segment has no place for.
func (m *Mapper) telemetry(d *mapped) []byte {
	s := d.span
	w := &jsonWriter{[]byte{'{'}}
	w.text("name", s.name)
	w.text("kind", nameOf(kindNames[:], s.kind))
	if s.status != 0 || s.statusText != "" {
		w.open("status")
		w.text("code", nameOf(statusNames[:], s.status))
		w.some("message", s.statusText)
		w.close()
	}
	w.some("trace_state", s.state)
	if s.flags != 0 {
		w.int("flags", int64(s.flags))
	}
	m.writeScope(w, d.res)
	if len(s.events) > 0 {
		w.name("events")
		w.b = append(w.b, '[')
		for i := range s.events {
			s.events[i].write(w)
		}
		w.b = append(w.b, ']')
	}
	for i, name := range [...]string{"dropped_attributes_count", "dropped_events_count", "dropped_links_count"} {
		if s.dropped[i] > 0 {
			w.int(name, int64(s.dropped[i]))
		}
	}
	w.close()
	return w.b
}

func (e *event) write(w *jsonWriter) {
	w.b = append(separate(w.b), '{')
	w.text("name", e.name)
	w.name("time")
	w.b = appendSeconds(w.b, min(e.time, math.MaxInt64))
	writeAttrs(w, e.attrs)
	if e.dropped > 0 {
		w.int("dropped_attributes_count", int64(e.dropped))
	}
	w.close()
}

// instrumentation is an InstrumentationScope message.
type instrumentation struct {
	name, version string
	attrs         []attr
	dropped       uint32
}

func parseScope(b []byte) (i instrumentation, err error) {
	var f wireField
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return i, err
		}
		switch {
		case f.is(1, wireBytes):
			i.name = text(f.data)
		case f.is(2, wireBytes):
			i.version = text(f.data)
		case f.is(3, wireBytes):
			i.attrs, err = appendAttr(i.attrs, f.data)
		case f.is(4, wireVarint):
			i.dropped = uint32(f.num64)
		}
		if err != nil {
			return i, err
		}
	}
	return i, nil
}

func (m *Mapper) writeScope(w *jsonWriter, r *resource) {
	// The message was checked when it was received.
	i, _ := parseScope(r.scope.Scope)
	if i.name != "" || i.version != "" || len(i.attrs) > 0 || r.scope.ScopeSchema != "" {
		w.open("scope")
		w.some("name", i.name)
		w.some("version", i.version)
		writeAttrs(w, i.attrs)
		w.some("schema_url", r.scope.ScopeSchema)
		if i.dropped > 0 {
			w.int("dropped_attributes_count", int64(i.dropped))
		}
		w.close()
	}
	w.some("resource_schema_url", r.scope.ResourceSchema)
}
