package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/wire"
)

// TestProtocol checks the headers of every answer, and the answers to requests that
// reach no operation.
func TestProtocol(t *testing.T) {
	a := New(Options{Intake: newDoor()})
	for _, c := range []struct {
		method, path, body string
		status             int
		exception, text    string
	}{
		{"POST", "/Nonsense", "{}", 404, "UnknownOperationException", "there is no operation at /Nonsense"},
		{"POST", "/traces", "{}", 404, "UnknownOperationException", "there is no operation at /traces"},
		{"GET", "/Traces", "", 405, "MethodNotAllowedException", "BatchGetTraces takes POST, not GET"},
		{"PUT", "/Traces", `{"TraceIds":7}`, 405, "MethodNotAllowedException", "BatchGetTraces takes POST, not PUT"},
		{"POST", "/Traces", "", 400, "ValidationException", "1 validation error detected: Value null at 'traceIds' failed to satisfy constraint: Member must not be null"},
		{"POST", "/Traces", `{"TraceIds":["` + strings.Repeat("a", maxBody) + `"]}`, 413, "RequestEntityTooLargeException", "request body is larger than 1048576 bytes"},
		{"POST", "/TraceSegments", `{"TraceSegmentDocuments":[]}`, 400, "InvalidRequestException", "Segments can not be empty"},
		{"POST", "/TraceSegments", `{"TraceSegmentDocuments":["{}"]}`, 200, "", ""},
		{"POST", "/TraceSegments", "", 400, "ValidationException", "1 validation error detected: Value null at 'traceSegmentDocuments' failed to satisfy constraint: Member must not be null"},
		{"POST", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1.5E9,"SegmentsSentCount":2.5}]}`, 200, "", ""},
		{"POST", "/TelemetryRecords", `{"TelemetryRecords":[]}`, 400, "InvalidRequestException", "Telemetry records cannot be empty"},
		{"POST", "/TelemetryRecords", `{"TelemetryRecords":[null]}`, 400, "ValidationException", "1 validation error detected: Value null at 'telemetryRecords.1.member' failed to satisfy constraint: Member must not be null"},
	} {
		for _, chunked := range []bool{false, true} {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			if chunked {
				r.ContentLength = -1
			}
			r.Header.Set("Content-Type", "image/png") // the server ignores it
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			var answer struct{ Message string }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != c.status || w.Header().Get("x-amzn-errortype") != c.exception || answer.Message != c.text {
				t.Errorf("%s %s %.60q: %d %v %s, want %d %s %q", c.method, c.path, c.body, w.Code, w.Header(), w.Body, c.status, c.exception, c.text)
			}
			if h := w.Header(); len(h.Get("x-amzn-RequestId")) != 36 || h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("Strict-Transport-Security") != "max-age=31540000; includeSubDomains" || (w.Code == 405) != (h.Get("Allow") == "POST") {
				t.Errorf("%s %s: headers %v", c.method, c.path, h)
			}
		}
	}
}

// TestOperations_validateBeforeAllElse checks that an operation without a handler still
// validates its request.
func TestOperations_validateBeforeAllElse(t *testing.T) {
	a := New(Options{Intake: newDoor()})
	clear(a.handlers)
	for _, op := range wire.Operations {
		if op.Name == "PutTraceSegments" {
			continue
		}
		for body, want := range map[string]int{"[]": http.StatusBadRequest, "{": http.StatusBadRequest} {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest("POST", op.Path, strings.NewReader(body)))
			if w.Code != want || w.Header().Get("x-amzn-errortype") != "SerializationException" {
				t.Errorf("%s %s: %d %s", op.Name, body, w.Code, w.Body)
			}
		}
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("POST", "/EncryptionConfig", nil))
	if w.Code != http.StatusNotImplemented {
		t.Errorf("an empty request without a handler: %d %s", w.Code, w.Body)
	}
}
