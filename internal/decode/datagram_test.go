package decode_test

import (
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
)

func TestDatagram(t *testing.T) {
	const doc = `{"id":"x"}`
	for _, c := range []struct{ name, header, code string }{
		{"most SDKs", `{"format":"json","version":1}`, ""},
		{"with blanks", `{"format": "json", "version": 1}`, ""},
		{"members the other way round", `{"version":1,"format":"json"}`, ""},
		{"format in capitals", `{"format":"JSON","version":1}`, ""},
		{"members in capitals", `{"Format":"json","VERSION":1}`, ""},
		{"members with escapes", `{"f\u006frmat":"json","version":1}`, ""},
		{"the last of two versions", `{"format":"json","version":1,"version":2}`, "InvalidHeader"},
		{"carriage return", "{\"format\":\"json\",\"version\":1}\r", ""},
		{"more members", `{"format":"json","version":1,"sdk":"x"}`, ""},
		{"version 1.0", `{"format":"json","version":1.0}`, ""},
		{"version 2", `{"format":"json","version":2}`, "InvalidHeader"},
		{"version as text", `{"format":"json","version":"1"}`, "InvalidHeader"},
		{"no version", `{"format":"json"}`, "InvalidHeader"},
		{"other format", `{"format":"protobuf","version":1}`, "InvalidHeader"},
		{"no format", `{"version":1}`, "InvalidHeader"},
		{"empty", ``, "InvalidHeader"},
		{"no JSON", `format=json`, "InvalidHeader"},
		{"array", `["json",1]`, "InvalidHeader"},
		{"deep", strings.Repeat("[", 10_000), "InvalidHeader"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, refusal := decode.Datagram([]byte(c.header + "\n" + doc + "\n"))
			switch {
			case c.code == "" && (refusal != nil || string(body) != doc+"\n"):
				t.Errorf("%q, %v", body, refusal)
			case c.code != "" && (refusal == nil || refusal.Code != c.code || body != nil):
				t.Errorf("%q, %v, want %s", body, refusal, c.code)
			case c.code != "" && !strings.Contains(refusal.Message, `want {"format":"json","version":1}`):
				t.Error(refusal.Message)
			}
		})
	}
}

func TestDatagram_withoutDocument(t *testing.T) {
	for _, c := range []struct{ datagram, code, message string }{
		{"", "MissingHeader", "datagram of 0 bytes has no header line"},
		{`{"format":"json","version":1}`, "MissingHeader", "datagram of 29 bytes has no header line"},
		{`{"format":"json","version":1}{"id":"x"}`, "MissingHeader", "datagram of 39 bytes has no header line"},
		{`{"format":"json","version":1}` + "\n", "MissingBody", "datagram has no document behind its header line"},
		{"\n", "MissingBody", "datagram has no document behind its header line"},
	} {
		body, refusal := decode.Datagram([]byte(c.datagram))
		if refusal == nil || refusal.Code != c.code || refusal.Message != c.message || body != nil {
			t.Errorf("%q: %q, %v", c.datagram, body, refusal)
		}
	}
}

func TestDatagram_longHeaderIsCutInTheMessage(t *testing.T) {
	_, refusal := decode.Datagram([]byte(strings.Repeat("x", 60_000) + "\n{}"))
	if refusal == nil || len(refusal.Message) > 200 {
		t.Errorf("%v", refusal)
	}
}
