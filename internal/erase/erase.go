// Package erase deletes everything about a person or a trace, and proves it: GDPR article
// 17 asks for the first, its article 5(2) for the second. An erasure deletes the traces,
// takes them off the disk, searches again, and returns a signed report. For some time
// after it, late segments of the same traces and persons are refused.
package erase

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/google/uuid"
)

// Store is the part of answer.Store that erasures need.
type Store interface {
	Summaries(ctx context.Context, account trace.Account, q *answer.SummaryQuery) iter.Seq2[*trace.Summary, error]
	Traces(ctx context.Context, account trace.Account, ids []trace.ID, reach answer.Reach) iter.Seq2[*trace.Trace, error]
	Delete(ctx context.Context, account trace.Account, q answer.DeleteQuery) (int, error)
	Purge(ctx context.Context) error
}

// Options of an Eraser.
type Options struct {
	Store   Store
	Records meta.Store
	// Filter parses a filter expression for an owner.
	Filter func(owner trace.Owner, text string) (*filter.Expr, error)
	// Held returns the names of the legal holds on a trace; nil: there are none.
	Held func(ctx context.Context, account trace.Account) (func(trace.ID) []string, error)
	// Signer signs reports.
	Signer func(ctx context.Context) (*audit.Signer, error)
	// Kinds are the kinds of records that may name persons and traces, besides the
	// store: those that do are deleted.
	Kinds []meta.Kind
	// Guard is how long late segments of erased traces and persons are refused (30 days).
	Guard  time.Duration
	Now    func() time.Time
	Logger *slog.Logger
}

// Request selects what to erase: one of User, Annotation and Traces.
type Request struct {
	User       string   `json:"user,omitempty"`
	Annotation string   `json:"annotation,omitempty"` // KEY=VALUE
	Traces     []string `json:"traces,omitempty"`
	Reason     string   `json:"reason,omitempty"` // for the report, such as a ticket
	DryRun     bool     `json:"dryRun,omitempty"` // only count
}

// Count counts traces and their segments.
type Count struct {
	Traces   int `json:"traces"`
	Segments int `json:"segments"`
}

// Report tells what an erasure did.
type Report struct {
	Version   int       `json:"fluoro-erasure"`
	ID        string    `json:"id"`
	Account   string    `json:"account"`
	Region    string    `json:"region"`
	By        string    `json:"by"` // the principal
	Requested time.Time `json:"requested"`
	Completed time.Time `json:"completed"`
	Request   Request   `json:"request"`
	// Before and After count the traces that the request selects; Deleted those that were
	// deleted.
	Before  Count `json:"before"`
	After   Count `json:"after"`
	Deleted int   `json:"deletedTraces"`
	// TraceIDs lists the deleted traces, at most maxListed.
	TraceIDs []string `json:"traceIds"`
	// Held lists traces that legal holds protect: they were not deleted.
	Held []Held `json:"held"`
	// Records counts the deleted control-plane records that named the person or a deleted
	// trace, such as findings.
	Records int `json:"deletedRecords"`
	// Purged is true if no file of the store holds the deleted data any more; else
	// PurgeError says why.
	Purged     bool   `json:"purgedFromDisk"`
	PurgeError string `json:"purgeError,omitempty"`
	Proof      Proof  `json:"proof"`
	// Backups lists the backups of the service that were made before, and may hold the
	// data: they must be deleted, or the erasure repeated after they are restored.
	Backups []Backup `json:"backups"`
	// RefusedUntil is the time until which late segments are refused.
	RefusedUntil time.Time `json:"refusedUntil"`
	Notes        []string  `json:"notes"`
}

// Held is a trace under legal hold.
type Held struct {
	ID    string   `json:"traceId"`
	Holds []string `json:"holds"`
}

// Proof is the search that was made after the deletion.
type Proof struct {
	Operation string    `json:"operation"` // of the X-Ray API
	Filter    string    `json:"filterExpression,omitempty"`
	Examined  int64     `json:"tracesProcessedCount"`
	Found     int       `json:"tracesFound"` // held ones included
	At        time.Time `json:"at"`
}

// Backup is a backup that the service made.
type Backup struct {
	Time  time.Time `json:"time"`
	Bytes int64     `json:"bytes"`
	By    string    `json:"by"`
}

const (
	// reportVersion is the version of reports.
	reportVersion = 1
	maxListed     = 10_000
	maxTraces     = 10_000 // of a request
	maxReason     = 1000
)

// Eraser erases. Many goroutines may use it.
type Eraser struct {
	o      Options
	one    sync.Mutex // one erasure at a time
	guards guards
}

// New makes an Eraser. It reads the records of earlier erasures when it is asked about
// their accounts.
func New(o Options) *Eraser {
	if o.Guard <= 0 {
		o.Guard = 30 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Held == nil {
		o.Held = func(context.Context, trace.Account) (func(trace.ID) []string, error) {
			return func(trace.ID) []string { return nil }, nil
		}
	}
	return &Eraser{o: o, guards: guards{records: o.Records, now: o.Now, of: map[trace.Account]*guard{}}}
}

// selector is a parsed Request.
type selector struct {
	filter     string // "" for ids
	ids        []trace.ID
	key, value string // of an annotation
}

func (r *Request) parse() (s selector, err error) {
	given := 0
	for _, set := range []bool{r.User != "", r.Annotation != "", len(r.Traces) > 0} {
		if set {
			given++
		}
	}
	switch {
	case given != 1:
		return s, trace.Errorf(trace.KindInvalid, "an erasure needs one of user, annotation and traces")
	case len(r.Reason) > maxReason:
		return s, trace.Errorf(trace.KindInvalid, "reason: at most %d bytes", maxReason)
	case len(r.Traces) > maxTraces:
		return s, trace.Errorf(trace.KindInvalid, "traces: at most %d in one erasure", maxTraces)
	}
	for _, text := range r.Traces {
		id, err := trace.ParseID(text)
		if err != nil {
			return s, trace.Errorf(trace.KindInvalid, "traces: %.100q is no trace id", text)
		}
		if !slices.Contains(s.ids, id) {
			s.ids = append(s.ids, id)
		}
	}
	switch {
	case r.User != "":
		s.filter = "user = " + quote(r.User)
	case r.Annotation != "":
		var ok bool
		if s.key, s.value, ok = cutAnnotation(r.Annotation); !ok {
			return s, trace.Errorf(trace.KindInvalid, "annotation: %.100q: want KEY=VALUE", r.Annotation)
		}
		s.filter = annotationFilter(s.key, s.value)
	}
	return s, nil
}

// cutAnnotation splits KEY=VALUE at the first =.
func cutAnnotation(text string) (key, value string, ok bool) {
	for i := 1; i < len(text); i++ {
		if text[i] == '=' {
			return text[:i], text[i+1:], true
		}
	}
	return "", "", false
}

// annotationFilter returns the filter expression of an annotation with a value of any type.
func annotationFilter(key, value string) string {
	field := "annotation[" + quote(key) + "]"
	out := field + " = " + quote(value)
	if n, ok := number(value); ok {
		out += " OR " + field + " = " + n
	}
	if value == "true" || value == "false" {
		out += " OR " + field + " = " + value
	}
	return out
}

// quote writes a text as filter expressions and JSON have it.
func quote(s string) string {
	b, _ := json.Marshal(s) // texts always have JSON
	return string(b)
}

// Erase erases and returns the signed report. It runs to its end although ctx may end
// before, once it began to delete.
func (e *Eraser) Erase(ctx context.Context, owner trace.Owner, by string, r Request) (*Signed, error) {
	s, err := r.parse()
	if err != nil {
		return nil, err
	}
	var signer *audit.Signer
	if !r.DryRun {
		// Without a signature there is no proof, so nothing is deleted either.
		if signer, err = e.o.Signer(ctx); err != nil {
			return nil, &trace.KindError{Kind: trace.KindUnavailable, Message: "reports of erasures cannot be signed: " + err.Error(), Err: err}
		}
	}
	e.one.Lock()
	defer e.one.Unlock()
	out := &Report{
		Version: reportVersion, ID: uuid.NewString(), Account: string(owner.Account), Region: owner.Region, By: by, Requested: e.o.Now().UTC(), Request: r,
		TraceIDs: []string{}, Held: []Held{}, Backups: []Backup{}, Notes: []string{},
	}
	held, err := e.o.Held(ctx, owner.Account)
	if err != nil {
		return nil, err
	}
	doomed, err := e.find(ctx, owner, &s, out, held)
	if err != nil {
		return nil, err
	}
	if r.DryRun {
		out.After, out.Completed = out.Before, e.o.Now().UTC()
		return &Signed{Report: out}, nil
	}
	ctx = context.WithoutCancel(ctx)
	if err := e.remove(ctx, owner.Account, &r, doomed, out); err != nil {
		return nil, err
	}
	after := &Report{}
	left, err := e.find(ctx, owner, &s, after, held)
	if err != nil {
		return nil, err
	}
	out.After, out.Proof = after.Before, after.Proof
	if len(left) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d traces that match arrived during the erasure, or could not be deleted: repeat it", len(left)))
	}
	if out.Backups, err = backups(ctx, e.o.Records, out.Requested); err != nil {
		out.Notes = append(out.Notes, "the list of backups cannot be read: "+err.Error())
	}
	out.Notes = append(out.Notes, "copies that others made of the data directory, of exports and of answers are not known to the service")
	out.Completed = e.o.Now().UTC()
	return sign(signer, out)
}

// find searches for what a request selects. It fills Before, Held and Proof, and returns
// the traces that may be deleted.
func (e *Eraser) find(ctx context.Context, owner trace.Owner, s *selector, out *Report, held func(trace.ID) []string) (doomed []trace.ID, err error) {
	count := func(t *trace.Trace) {
		out.Before.Traces++
		out.Before.Segments += len(t.Segments)
		if holds := held(t.ID); len(holds) > 0 {
			out.Held = append(out.Held, Held{t.ID.String(), holds})
		} else {
			doomed = append(doomed, t.ID)
		}
	}
	if s.filter == "" {
		out.Proof.Operation, out.Proof.Examined = "BatchGetTraces", int64(len(s.ids))
		for t, err := range e.o.Store.Traces(ctx, owner.Account, s.ids, answer.Reach{}) {
			if damaged, ok := asDamaged(err); ok {
				doomed = append(doomed, damaged...) // they can be deleted, too
				out.Before.Traces += len(damaged)
				continue
			}
			if err != nil {
				return nil, err
			}
			count(t)
		}
	} else {
		expr, err := e.o.Filter(owner, s.filter)
		if err != nil {
			return nil, err
		}
		out.Proof.Operation, out.Proof.Filter = "GetTraceSummaries", s.filter
		q := &answer.SummaryQuery{Window: trace.Window{Start: trace.MinTime, End: trace.MaxTime}, Clock: trace.ClockTraceID, Filter: expr, Seen: count, Examined: &out.Proof.Examined}
		for _, err := range e.o.Store.Summaries(ctx, owner.Account, q) {
			if err != nil {
				return nil, err
			}
		}
	}
	out.Proof.Found, out.Proof.At = out.Before.Traces, e.o.Now().UTC()
	return doomed, nil
}

// remove guards against late segments first, so that nothing revives, then deletes and
// purges.
func (e *Eraser) remove(ctx context.Context, account trace.Account, r *Request, doomed []trace.ID, out *Report) error {
	out.RefusedUntil = e.o.Now().Add(e.o.Guard).UTC()
	if err := e.guards.add(ctx, account, out.ID, r, doomed, out.RefusedUntil); err != nil {
		return err
	}
	for ids := range slices.Chunk(doomed, 1000) {
		n, err := e.o.Store.Delete(ctx, account, answer.DeleteQuery{IDs: ids})
		out.Deleted += n
		if err != nil {
			return err
		}
	}
	for _, id := range doomed[:min(len(doomed), maxListed)] {
		out.TraceIDs = append(out.TraceIDs, id.String())
	}
	if len(doomed) > maxListed {
		out.Notes = append(out.Notes, fmt.Sprintf("traceIds lists %d of %d traces", maxListed, len(doomed)))
	}
	var err error
	if out.Records, err = e.removeRecords(ctx, account, r, doomed); err != nil {
		return err
	}
	if err := e.o.Store.Purge(ctx); err != nil {
		out.PurgeError = err.Error()
		return nil
	}
	out.Purged = true
	return nil
}
