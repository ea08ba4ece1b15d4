// Package render converts segments back: a span to a segment document (document.go), a
// span to OTLP/JSON (otlp.go), and an entity of a segment document to an OTLP/JSON span
// (entity.go).
package render
