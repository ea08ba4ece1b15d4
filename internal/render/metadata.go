package render

import (
	"math"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// attributes writes annotations and metadata.
func (w *writer) attributes() {
	var annotations, plain, namespaces jsonscan.Members
	w.doc.EachAttribute(func(name string, v *otlp.Value, use otlp.Use) {
		switch use {
		case otlp.UseAnnotation:
			annotations.Add(name, v.AppendJSON(annotations.Buffer()))
		case otlp.UseNamespace:
			w.namespace(&namespaces, &plain, name, v.Text())
		default:
			plain.Add(name, v.AppendJSON(plain.Buffer()))
		}
	})
	if annotations.Len() > 0 {
		w.Name("annotations")
		w.Text = annotations.Append(w.Text)
	}
	if plain.Len() > 0 {
		w.restrict(&plain)
		if plain.Len() > 0 || !w.native {
			namespaces.Set("default", plain.Append(nil))
		}
	}
	if w.native && w.doc.Part == 0 {
		name := "otel"
		if namespaces.Has(name) {
			name = "opentelemetry"
		}
		namespaces.Set(name, w.telemetry())
	}
	if namespaces.Len() > 0 {
		w.Name("metadata")
		w.Text = namespaces.Append(w.Text)
	}
}

// restrict removes from a metadata namespace of a service segment all but the resource
// attributes.
func (w *writer) restrict(o *jsonscan.Members) {
	if w.doc.Part == 0 {
		return
	}
	all := *o
	*o = jsonscan.Members{}
	for i := range all.Len() {
		if name, value := all.At(i); strings.HasPrefix(name, otlp.ResourcePrefix) {
			o.Set(name, value)
		}
	}
}

// namespace adds an attribute aws.xray.metadata.<namespace>, whose value is the text of
// a JSON object; with other text it remains a plain attribute.
func (w *writer) namespace(namespaces, plain *jsonscan.Members, name, value string) {
	v, err := jsonscan.Parse([]byte(value))
	if kind := v.Kind(); err != nil || kind != jsonscan.Object && kind != jsonscan.Null {
		plain.Set(name, jsonscan.AppendString(nil, value))
		return
	}
	target := strings.TrimPrefix(name, otlp.MetadataPrefix)
	var o jsonscan.Members
	for member, value := range v.Members() {
		o.Set(jsonscan.Unquote(member), value)
	}
	switch {
	case strings.EqualFold(target, "default"):
		for i := range o.Len() {
			plain.Set(o.At(i))
		}
	case v.Kind() == jsonscan.Null:
		namespaces.Set(target, []byte("null"))
	default:
		w.restrict(&o)
		namespaces.Set(target, o.Append(nil))
	}
}

// nameOf returns the name of an enum value, its number if it has none.
func nameOf(names []string, v int32) string {
	if v >= 0 && int(v) < len(names) {
		return names[v]
	}
	return strconv.Itoa(int(v))
}

// telemetry writes metadata.otel: span data that has no member in a segment document.
func (w *writer) telemetry() []byte {
	s := w.doc.Span
	document := w.Text
	w.Text = []byte{'{'}
	w.String("name", s.Name)
	w.String("kind", nameOf(otlp.KindNames[:], s.Kind))
	if s.Status != 0 || s.StatusText != "" {
		w.Open("status")
		w.String("code", nameOf(otlp.StatusNames[:], s.Status))
		w.Some("message", s.StatusText)
		w.Close()
	}
	w.Some("trace_state", s.State)
	if s.Flags != 0 {
		w.Int("flags", int64(s.Flags))
	}
	w.scope()
	if len(s.Events) > 0 {
		w.OpenList("events")
		for i := range s.Events {
			w.event(&s.Events[i])
		}
		w.CloseList()
	}
	for i, name := range [...]string{"dropped_attributes_count", "dropped_events_count", "dropped_links_count"} {
		if s.Dropped[i] > 0 {
			w.Int(name, int64(s.Dropped[i]))
		}
	}
	w.Close()
	text := w.Text
	w.Text = document
	return text
}

func (w *writer) event(e *otlp.Event) {
	w.Element()
	w.String("name", e.Name)
	w.Name("time")
	w.Text = appendSeconds(w.Text, min(e.Time, math.MaxInt64))
	w.attributesOf(e.Attributes)
	if e.Dropped > 0 {
		w.Int("dropped_attributes_count", int64(e.Dropped))
	}
	w.Close()
}

func (w *writer) scope() {
	s, schema, resourceSchema := w.doc.Scope()
	if s.Name != "" || s.Version != "" || len(s.Attributes) > 0 || schema != "" {
		w.Open("scope")
		w.Some("name", s.Name)
		w.Some("version", s.Version)
		w.attributesOf(s.Attributes)
		w.Some("schema_url", schema)
		if s.Dropped > 0 {
			w.Int("dropped_attributes_count", int64(s.Dropped))
		}
		w.Close()
	}
	w.Some("resource_schema_url", resourceSchema)
}
