package manage_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestVerb_answersObjectsAndErrors(t *testing.T) {
	type question struct{ Name string }
	h := manage.Verb(64, func(_ context.Context, q *question) (any, error) {
		if q.Name == "none" {
			return nil, &trace.KindError{Kind: trace.KindNotFound, Message: "there is no none", Err: context.Canceled}
		}
		return map[string]string{"hello": q.Name}, nil
	})
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"Name":"you"}`, 200, `{"hello":"you"}`},
		{``, 200, `{"hello":""}`},
		{`{"Name":"none"}`, 404, `{"error":{"message":"there is no none"}}`},
		{`{"Nome":"you"}`, 400, `unknown field`},
		{`{} {}`, 400, `more than one value`},
		{`[`, 400, `not valid`},
		{`{"Name":"` + strings.Repeat("x", 64) + `"}`, 413, `larger than 64 bytes`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/api/x/Y", strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
	}
}
