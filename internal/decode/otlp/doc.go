// Package otlp reads OpenTelemetry spans and maps them to segments
// (docs/format/otlp.md).
//
// A request goes through these files: json.go turns OTLP/JSON into protobuf, by the
// table in shape.go; request.go walks the messages around the spans (fields.go);
// span.go and value.go take one span apart, resource.go what surrounds it. A Mapper
// (mapper.go) makes a Document of it, one file a section, and request.go a
// trace.Segment of that. Package render writes a Document as JSON.
package otlp
