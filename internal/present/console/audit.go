package console

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// AuditPage is a page of the audit log, the newest record first.
type AuditPage struct {
	Events []AuditEvent `json:"events"`
	// Token continues the search; "" after the last record. A page can be empty and have
	// a token: it reads a limited part of the log.
	Token string `json:"token"`
	// Damaged names files that could not be read to their end.
	Damaged []string `json:"damaged"`
}

// AuditEvent is a record (docs/format/audit.md) and its number in the log of the server.
type AuditEvent struct {
	Seq   uint64          `json:"seq"`
	Event json.RawMessage `json:"event"`
}

// auditHandler answers GET /console/api/audit. The account is that of the request, or
// that of the parameter account: all are "*".
func auditHandler(o Options) http.Handler {
	return answer(func(r *http.Request) (any, error) {
		q, err := auditQuery(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		d := audit.Of(r.Context())
		d.Request(auditParameters(r))
		page, err := o.Audit(r.Context(), q)
		if err != nil {
			return nil, err
		}
		d.Set("records", len(page.Records))
		out := AuditPage{Events: []AuditEvent{}, Damaged: append([]string{}, page.Damaged...)}
		for _, f := range page.Records {
			out.Events = append(out.Events, AuditEvent(f))
		}
		if page.Next > 0 {
			out.Token = strconv.FormatUint(page.Next, 10)
		}
		return out, nil
	})
}

func auditParameters(r *http.Request) map[string]any {
	values := map[string]any{}
	for name, list := range r.URL.Query() {
		values[name] = list[0]
	}
	return values
}

func auditQuery(raw string) (*audit.Query, error) {
	q := parseQuestion(raw, "start end principal action trace error account limit token")
	v := q.values
	out := &audit.Query{Account: trace.Account(v.Get("account")), Principal: v.Get("principal"), Action: v.Get("action"), TraceID: v.Get("trace"), Error: v.Get("error")}
	at := func(name string) (t time.Time) {
		if seconds := q.number(name, math.Inf(-1)); !math.IsInf(seconds, 0) {
			t = time.Unix(0, int64(trace.FromSeconds(seconds)))
		}
		return t
	}
	out.Start, out.End = at("start"), at("end")
	limit := q.number("limit", 50)
	if limit != math.Trunc(limit) || limit < 1 || limit > audit.MaxPage {
		q.fail("limit: must be a whole number from 1 to %d", audit.MaxPage)
	}
	out.Limit = int(limit)
	if token := v.Get("token"); token != "" {
		n, err := strconv.ParseUint(token, 10, 64)
		if err != nil || n == 0 {
			q.fail("token: %.50q is not one of this service", token)
		}
		out.Before = n
	}
	if id := out.TraceID; id != "" {
		parsed, err := trace.ParseID(id)
		if err != nil {
			q.fail("trace: %.100q is no trace id", id)
		}
		out.TraceID = parsed.String()
	}
	return out, q.err
}
