package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Deletion selects traces to delete: by id, or those that start in [Start, End) and match
// a filter expression. With DryRun they are only counted.
type Deletion struct {
	IDs    []string `json:"ids"`
	Start  *float64 `json:"start"` // Unix seconds
	End    *float64 `json:"end"`
	Filter string   `json:"filter"`
	DryRun bool     `json:"dry_run"`
}

// Window returns the window from Start to End, empty without them.
func (d *Deletion) Window() (w trace.Window) {
	if d.Start != nil {
		w.Start = trace.FromSeconds(*d.Start)
	}
	if d.End != nil {
		w.End = trace.FromSeconds(*d.End)
	}
	return w
}

// parameters returns the deletion as it is recorded; the ids are recorded elsewhere.
func (d *Deletion) parameters() map[string]any {
	out := map[string]any{"dryRun": d.DryRun}
	if d.Filter != "" {
		out["filter"] = d.Filter
	}
	for name, t := range map[string]*float64{"startTime": d.Start, "endTime": d.End} {
		if t != nil {
			out[name] = *t
		}
	}
	return out
}

// Delete makes the handler of a POST with a Deletion. It answers how many traces there
// were. limit bounds the body, in bytes. Requests need an identity.
func (c *Console) Delete(limit int64) http.Handler {
	return answer(func(r *http.Request) (any, error) {
		var d Deletion
		in := json.NewDecoder(io.LimitReader(r.Body, limit+1))
		in.DisallowUnknownFields()
		err := in.Decode(&d)
		if err == nil {
			if _, more := in.Token(); !errors.Is(more, io.EOF) {
				err = errors.New("there is more than one value")
			}
		}
		switch {
		case in.InputOffset() > limit:
			return nil, trace.Errorf(trace.KindInvalid, "the body is larger than %d bytes", limit)
		case err != nil:
			return nil, trace.Errorf(trace.KindInvalid, "the body is no deletion: %v", err)
		}
		note := audit.Of(r.Context())
		note.Request(d.parameters())
		note.Traces(d.IDs...)
		n, err := c.remove(r.Context(), d)
		note.Set("deletedTraces", n)
		if err != nil {
			return nil, err
		}
		return map[string]int{"traces": n}, nil
	})
}
