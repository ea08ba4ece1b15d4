package query_test

import (
	"context"
	"iter"
	"testing"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// one is a store with one trace, which has an error.
type one struct{ query.Answers }

func (one) Summaries(_ context.Context, _ trace.Account, q *answer.SummaryQuery) iter.Seq2[*trace.Summary, error] {
	return func(yield func(*trace.Summary, error) bool) {
		s := &trace.Summary{HasError: true}
		if q.Filter.Match(&trace.Trace{}, s) {
			yield(s, nil)
		}
	}
}

// Groups belong to the requesting account.
func TestSummaries_groupsOfTheAccount(t *testing.T) {
	q := query.New(one{})
	q.Groups = func(owner trace.Owner, name, arn string) (*filter.Expr, bool) {
		text, known := map[string]string{"1/errors": "error", "1/again": `group.name = "errors"`, "2/errors": "fault", "1/self": `group.name = "self"`}[string(owner.Account)+"/"+name+arn]
		if !known {
			return nil, false
		}
		e, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return e, true
	}
	for _, c := range []struct {
		account trace.Account
		filter  string
		want    int
	}{
		{"1", `group.name = "errors"`, 1}, {"2", `group.name = "errors"`, 0}, {"3", `group.name = "errors"`, 0}, {"3", `group.name != "errors"`, 1},
		{"1", `group.name = "again" AND error`, 1}, {"1", `!group.name = "again"`, 0}, {"2", `group.name = "again"`, 0},
	} {
		page, err := q.Summaries(t.Context(), reader(c.account), query.SummariesRequest{Filter: c.filter})
		if err != nil || len(page.Summaries) != c.want {
			t.Errorf("account %s, %s: %+v, %v; want %d", c.account, c.filter, page, err, c.want)
		}
	}
	if _, err := q.Summaries(t.Context(), reader("1"), query.SummariesRequest{Filter: `group.name = "self"`}); trace.KindOf(err) != trace.KindInvalid {
		t.Errorf("a group that is its own: %v", err)
	}
}
