// Package render writes segments back: the segment document of a span
// (document.go), a span as OTLP/JSON (otlp.go), and the entity of a segment
// document as an OTLP/JSON span (entity.go).
package render
