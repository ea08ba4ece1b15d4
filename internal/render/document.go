package render

import (
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Text writes the segment document of a span, one compact JSON object, by the profile
// of its source and the default options of package otlp. opens tells that the span is
// the first of its service in its trace, which makes it a segment; only the assembled
// trace knows that. The error tells why Segment.Raw is not a span.
func Text(seg *trace.Segment, opens bool) ([]byte, error) {
	return TextBy(standard.For(seg.Source), seg, opens)
}

var standard otlp.Mapper // with the default options

// TextBy is like Text, with the options and the profile of m.
func TextBy(m *otlp.Mapper, seg *trace.Segment, opens bool) ([]byte, error) {
	d, err := m.Document(seg, opens)
	if err != nil {
		return nil, err
	}
	w := writer{jsonscan.Writer{Text: append(make([]byte, 0, 2*len(seg.Raw)+512), '{')}, d, d.Profile() == otlp.ProfileNative}
	w.document()
	return w.Text, nil
}

// writer writes one document.
type writer struct {
	jsonscan.Writer
	doc    otlp.Document
	native bool
}

// time writes epoch seconds: with all nanoseconds, or as the collector does the nearest
// float64, which has a precision of 200 ns.
func (w *writer) time(name string, ns uint64) {
	w.Name(name)
	if !w.native {
		w.Text = jsonscan.AppendFloat(w.Text, float64(ns)/1e9)
		return
	}
	w.Text = appendSeconds(w.Text, ns)
}

func appendSeconds(b []byte, ns uint64) []byte {
	b = strconv.AppendUint(b, ns/1e9, 10)
	if frac := ns % 1e9; frac > 0 {
		digits := strconv.AppendUint(nil, 1e9+frac, 10)
		b = append(append(b, '.'), strings.TrimRight(string(digits[1:]), "0")...)
	}
	return b
}

// document writes the members in the collector's order.
func (w *writer) document() {
	d, s := &w.doc, w.doc.Span
	w.OrNull("name", d.Name) // empty only in the collector's profile
	w.String("id", d.ID.String())
	w.time("start_time", s.Start)
	if version, ok := d.Version(); ok {
		w.Open("service")
		w.Some("version", version)
		w.Close()
	}
	w.Some("origin", d.Origin())
	w.Some("user", d.User)
	w.Some("resource_arn", d.ResourceARN())
	if len(s.Links) > 0 && d.KeepsLinks() {
		w.links()
	}
	w.String("trace_id", s.TraceID.String())
	if d.InProgress {
		w.Bool("in_progress", true)
	} else {
		w.time("end_time", s.End)
	}
	w.http()
	w.Bool("fault", d.Fault)
	w.Bool("error", d.Error)
	w.Bool("throttle", d.Throttle)
	if d.HasCause {
		w.cause()
	}
	if d.AWS.Present {
		w.aws()
	}
	w.attributes()
	w.Some("namespace", d.Namespace)
	if !d.Parent.IsZero() {
		w.String("parent_id", d.Parent.String())
	}
	if d.Subsegment {
		w.String("type", "subsegment")
	}
	w.sql()
	w.Close()
}

func (w *writer) links() {
	w.OpenList("links")
	for i := range w.doc.Span.Links {
		l := &w.doc.Span.Links[i]
		w.Element()
		w.String("trace_id", l.TraceID.String())
		id := ""
		if !l.ID.IsZero() {
			id = l.ID.String()
		}
		w.String("id", id)
		w.attributesOf(l.Attributes)
		if w.native {
			w.Some("trace_state", l.State)
		}
		w.Close()
	}
	w.CloseList()
}

// attributesOf writes the member "attributes" unless there are none.
func (w *writer) attributesOf(list []otlp.Attribute) {
	if len(list) == 0 {
		return
	}
	var o jsonscan.Members
	for i := range list {
		o.Add(list[i].Name(), list[i].Value.AppendJSON(o.Buffer()))
	}
	w.Name("attributes")
	w.Text = o.Append(w.Text)
}

func (w *writer) http() {
	h := &w.doc.HTTP
	if !h.Present {
		return
	}
	w.Open("http")
	w.Open("request")
	if h.Forwarded {
		w.Bool("x_forwarded_for", true)
	}
	w.Some("method", h.Method)
	w.Some("url", h.URL)
	w.Some("user_agent", h.UserAgent)
	w.Some("client_ip", h.ClientIP)
	w.Close()
	w.Open("response")
	if h.HasStatus {
		w.Int("status", h.Status)
	}
	w.Int("content_length", h.ContentLength)
	w.Close()
	w.Close()
}

func (w *writer) sql() {
	q := &w.doc.SQL
	if !q.Present {
		return
	}
	w.Open("sql")
	w.String("connection_string", w.doc.Connection())
	w.Some("url", q.URL)
	w.Some("sanitized_query", q.Query)
	w.Some("database_type", q.System)
	w.Some("user", q.User)
	w.Close()
}

func (w *writer) cause() {
	w.Open("cause")
	if len(w.doc.Exceptions) > 0 {
		w.OpenList("exceptions")
		for i := range w.doc.Exceptions {
			w.exception(&w.doc.Exceptions[i])
		}
		w.CloseList()
	}
	w.Close()
}

func (w *writer) exception(x *otlp.Exception) {
	w.Element()
	w.String("id", x.ID.String())
	w.String("message", x.Message)
	w.String("type", x.Type)
	if !x.NoRemote {
		w.Bool("remote", x.Remote)
	}
	if !x.Cause.IsZero() {
		w.String("cause", x.Cause.String())
	}
	if len(x.Stack) > 0 {
		w.OpenList("stack")
		for i := range x.Stack {
			w.Element()
			w.String("path", x.Stack[i].Path)
			w.Int("line", int64(x.Stack[i].Line))
			w.String("label", x.Stack[i].Label)
			w.Close()
		}
		w.CloseList()
	}
	w.Close()
}

func (w *writer) aws() {
	a := &w.doc.AWS
	w.Open("aws")
	w.host()
	w.Open("xray")
	sdk, version, auto := w.doc.SDK()
	w.Some("sdk", sdk)
	w.Some("sdk_version", version)
	w.Bool("auto_instrumentation", auto)
	w.Some("sampling_rule_name", a.SamplingRule)
	w.Close()
	w.Some("account_id", a.Account)
	w.Some("operation", a.Operation)
	w.Some("region", a.Region)
	w.Some("request_id", a.RequestID)
	w.Some("id_2", a.ExtendedID)
	w.Some("queue_url", a.QueueURL)
	w.Some("table_name", a.TableName)
	if len(a.TableNames) > 0 {
		w.OpenList("table_names")
		for _, name := range a.TableNames {
			w.Text = jsonscan.AppendString(jsonscan.Separate(w.Text), name)
		}
		w.CloseList()
	}
	w.Some("bucket_name", a.Bucket)
	w.Some("topic_arn", a.TopicARN)
	w.Some("function_name", a.Function)
	w.Close()
}

// host writes where the service runs.
func (w *writer) host() {
	h := w.doc.Host()
	if b := &h.Beanstalk; b.Present {
		w.Open("elastic_beanstalk")
		w.OrNull("environment_name", b.Environment)
		w.OrNull("version_label", b.VersionLabel)
		w.Int("deployment_id", b.Deployment)
		w.Close()
	}
	if len(h.LogGroups) > 0 {
		w.OpenList("cloudwatch_logs")
		for _, g := range h.LogGroups {
			w.Element()
			w.OrNull("log_group", g.Name)
			w.Some("arn", g.ARN)
			w.Close()
		}
		w.CloseList()
	}
	if e := &h.ECS; e.Present {
		w.Open("ecs")
		w.Some("container", e.Container)
		w.Some("container_id", e.ContainerID)
		w.Some("task_arn", e.TaskARN)
		w.Some("task_family", e.TaskFamily)
		w.Some("cluster_arn", e.ClusterARN)
		w.Some("container_arn", e.ContainerARN)
		w.Some("availability_zone", e.AvailabilityZone)
		w.Some("launch_type", e.LaunchType)
		w.Close()
	}
	if e := &h.EC2; e.Present {
		w.Open("ec2")
		w.OrNull("instance_id", e.InstanceID)
		w.OrNull("availability_zone", e.AvailabilityZone)
		w.OrNull("instance_size", e.Size)
		w.OrNull("ami_id", e.Image)
		w.Close()
	}
	if e := &h.EKS; e.Present {
		w.Open("eks")
		w.OrNull("cluster_name", e.Cluster)
		w.OrNull("pod", e.Pod)
		w.OrNull("container_id", e.ContainerID)
		w.Close()
	}
}
