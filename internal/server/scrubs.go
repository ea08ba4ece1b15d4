package server

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/scrub/retro"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// scrubs returns the program of an account for the receivers.
func (s *server) scrubs(ctx context.Context, account trace.Account) (receive.Scrub, error) {
	p, err := s.scrub.Program(ctx, account)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// resumeScrubJobs makes the jobs over stored traces and continues interrupted ones. The
// server starts even if they cannot go on.
func (s *server) resumeScrubJobs() error {
	s.scrubJobs = retro.New(retro.Options{Store: s.store, Records: s.records, Rules: s.scrub, Purge: s.shelf.Purge, Held: s.heldFromScrub, Logger: s.log})
	if err := s.scrubJobs.Resume(context.Background()); err != nil {
		s.log.Warn("interrupted scrub jobs were not continued", "error", err)
	}
	return nil
}

// heldFromScrub returns which traces of an account a scrub job must not change: evidence
// under a hold stays as it was received.
func (s *server) heldFromScrub(ctx context.Context, account trace.Account) (func(trace.ID) bool, error) {
	on, err := s.On(ctx, account)
	if err != nil {
		return nil, err
	}
	return func(id trace.ID) bool { return len(on(id)) > 0 }, nil
}

// scrubbed counts, for metrics, how many values each rule changed.
type scrubbed struct{ rules *scrub.Rules }

var scrubbedValues = prometheus.NewDesc("fluoro_scrub_values_total", "Values that scrub rules changed in received data (rules that only count: would have changed), by rule, over all accounts.", []string{"rule"}, nil)

// Describe implements prometheus.Collector.
func (scrubbed) Describe(descs chan<- *prometheus.Desc) { descs <- scrubbedValues }

// Collect implements prometheus.Collector.
func (c scrubbed) Collect(metrics chan<- prometheus.Metric) {
	for name, n := range c.rules.Totals() {
		metrics <- prometheus.MustNewConstMetric(scrubbedValues, prometheus.CounterValue, float64(n), name)
	}
}

// scrubPreview is a question for a preview. Rules are tried instead of the account's
// rules; Names selects some of those.
type scrubPreview struct {
	Rules []scrub.Rule
	Names []string
	// Seconds is how far back it looks; 0 for an hour. Traces limits the number of
	// traces that are read, the newest first; 0 for 10,000.
	Seconds int64
	Traces  int
}

// Limits of previews.
const (
	mostPreviewTraces  = 100_000
	mostPreviewSeconds = 366 * 24 * 3600
)

// previewed is the answer to it.
type previewed struct {
	Traces   int           // that were read
	Segments int           // documents and spans in them
	Complete bool          // false if there are more traces in that time
	Rules    []scrub.Found // in the order in which they work
}

func (s *server) previewScrub(ctx context.Context, account trace.Account, q *scrubPreview) (*previewed, error) {
	if q.Seconds == 0 {
		q.Seconds = 3600
	}
	if q.Traces == 0 {
		q.Traces = 10_000
	}
	if q.Seconds < 0 || q.Seconds > mostPreviewSeconds || q.Traces < 0 || q.Traces > mostPreviewTraces {
		return nil, trace.Errorf(trace.KindInvalid, "Seconds must be 1 to %d and Traces 1 to %d", mostPreviewSeconds, mostPreviewTraces)
	}
	program, err := s.scrub.Trial(ctx, account, q.Rules, q.Names)
	if err != nil {
		return nil, err
	}
	preview := program.Preview()
	out := &previewed{Complete: true}
	from := trace.TimeOf(time.Now().Add(-time.Duration(q.Seconds) * time.Second))
	for t, err := range s.store.Stored(ctx, account, from, nil) {
		if err != nil {
			return nil, err
		}
		if out.Traces == q.Traces {
			out.Complete = false
			break
		}
		out.Traces++
		preview.Next()
		for _, seg := range t.Segments {
			if seg.Part > 0 {
				continue // the same span again
			}
			out.Segments++
			preview.Record(trace.RecordOf(seg))
		}
	}
	out.Rules = preview.Found()
	return out, nil
}

// scrubTest is a question what becomes of a text, a segment document or a JSON value.
type scrubTest struct {
	Rules []scrub.Rule // instead of the account's rules
	Names []string
	Key   string // the name of the member or attribute, "" for none
	Text  string // its value; or a segment document with Document
	// Document tells that Text is a segment document.
	Document bool
}

func (s *server) testScrub(ctx context.Context, account trace.Account, q *scrubTest) (any, error) {
	program, err := s.scrub.Trial(ctx, account, q.Rules, q.Names)
	if err != nil {
		return nil, err
	}
	if q.Document {
		return map[string]string{"Text": string(program.Document([]byte(q.Text)))}, nil
	}
	text, kept := program.Value(q.Key, q.Text)
	return map[string]any{"Text": text, "Dropped": !kept}, nil
}

// scrubRules makes the rules of the settings and records.
func (s *server) scrubRules() *scrub.Rules {
	c := s.config
	return scrub.New(scrub.Options{Store: s.records, NoDefaults: c.Scrub == "off", Strict: c.Scrub == "strict", Logger: s.log})
}

// scrubRuleRoutes are the rows of scrub rules. They need only records.
func scrubRuleRoutes() []route {
	return []route{
		scrubVerb("ListRules", "fluoro:ListScrubRules", admitAlways, func(ctx context.Context, s *server, account trace.Account, _ *struct{}) (any, error) {
			list, err := s.scrub.List(ctx, account)
			return map[string]any{"Rules": append([]scrub.Stored{}, list...)}, err
		}),
		scrubVerb("PutRule", "fluoro:PutScrubRule", admitAlways, func(ctx context.Context, s *server, account trace.Account, q *struct{ Rule scrub.Rule }) (any, error) {
			stored, err := s.scrub.Put(ctx, account, q.Rule)
			if err == nil {
				s.log.Info("a scrub rule was changed", "account", account, "rule", stored.Name)
			}
			return map[string]any{"Rule": stored}, err
		}),
		scrubVerb("DeleteRule", "fluoro:DeleteScrubRule", admitAlways, func(ctx context.Context, s *server, account trace.Account, q *struct{ Name string }) (any, error) {
			err := s.scrub.Delete(ctx, account, q.Name)
			if err == nil {
				s.log.Info("a scrub rule was deleted", "account", account, "rule", q.Name)
			}
			return struct{}{}, err
		}),
		scrubVerb("Test", "fluoro:TestScrubRule", admitAlways, func(ctx context.Context, s *server, account trace.Account, q *scrubTest) (any, error) {
			return s.testScrub(ctx, account, q)
		}),
	}
}

// scrubRoutes are the rows of scrub rules, of previews and of jobs over stored traces.
func scrubRoutes() []route {
	jobs := []route{
		scrubVerb("Preview", "fluoro:PreviewScrubRule", admitScan, func(ctx context.Context, s *server, account trace.Account, q *scrubPreview) (any, error) {
			return s.previewScrub(ctx, account, q)
		}),
		scrubVerb("StartJob", "fluoro:StartScrubJob", admitAlways, func(ctx context.Context, s *server, account trace.Account, q *retro.Request) (any, error) {
			job, err := s.scrubJobs.Start(ctx, account, *q)
			if err == nil {
				s.log.Info("a scrub job was started", "account", account, "job", job.ID, "dry-run", job.DryRun)
			}
			return jobOf(job, err)
		}),
		scrubVerb("GetJob", "fluoro:GetScrubJob", admitAlways, func(ctx context.Context, s *server, account trace.Account, _ *struct{}) (any, error) {
			return jobOf(s.scrubJobs.Get(ctx, account))
		}),
		scrubVerb("StopJob", "fluoro:StopScrubJob", admitAlways, func(ctx context.Context, s *server, account trace.Account, _ *struct{}) (any, error) {
			return struct{}{}, s.scrubJobs.Stop(ctx, account)
		}),
	}
	for i := range jobs {
		jobs[i].everything = true
	}
	return append(scrubRuleRoutes(), jobs...)
}

func jobOf(job retro.Job, err error) (any, error) { return map[string]any{"Job": job}, err }

// scrubVerb is a row of POST /api/scrub/VERB.
func scrubVerb[Q any](verb, action string, c class, call func(context.Context, *server, trace.Account, *Q) (any, error)) route {
	return route{on: onHTTP, method: "POST", path: "/api/scrub/" + verb, action: action, class: c, limit: maxRequest, handler: func(s *server, rt *route) endpoint {
		return manage.Verb(rt.limit, func(ctx context.Context, q *Q) (any, error) {
			p, err := identity.From(ctx)
			if err != nil {
				return nil, err
			}
			return call(ctx, s, p.Account, q)
		})
	}}
}
