// Package oam keeps sinks and links between accounts (CloudWatch Observability Access
// Manager API reference). A monitoring account has a sink; a source account links itself
// to the sink, if the sink's policy allows it. From then on, readers of the monitoring
// account see what the source account receives.
//
// The link belongs to the source account: its record there decides. The monitoring account
// keeps only a list of links to look up, so that a link ends when its record is gone.
package oam

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/google/uuid"
)

// The kinds of records, by id. attached records are in the monitoring account, links in
// the source account.
const (
	sinkKind     meta.Kind = "oam-sink"
	linkKind     meta.Kind = "oam-link"
	attachedKind meta.Kind = "oam-attached-link"
)

const (
	// maxLinks is how many links a source account may have (CloudWatch quotas).
	maxLinks = 5
	// maxAttached is how many source accounts a sink may have. A query of the monitoring
	// account reads all of them, so it is less than the 100,000 of CloudWatch.
	maxAttached = 100
	maxTags     = 50
)

// TraceType is the resource type of traces. Other types may be named, but have no effect.
const TraceType = "AWS::XRay::Trace"

var (
	resourceTypes = []string{TraceType, "AWS::CloudWatch::Metric", "AWS::Logs::LogGroup", "AWS::ApplicationInsights::Application", "AWS::InternetMonitor::Monitor", "AWS::ApplicationSignals::Service", "AWS::ApplicationSignals::ServiceLevelObjective"}
	validName     = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,255}$`)
	validLabel    = regexp.MustCompile(`^[ -~]{1,64}$`)
	validARN      = regexp.MustCompile(`^arn:aws:oam:([a-z0-9-]{1,40}):([0-9]{12}):(sink|link)/([0-9a-f-]{36})$`)
)

// Sink is where source accounts link to.
type Sink struct {
	Arn    string
	Id     string
	Name   string
	Policy string            `json:",omitempty"` // "" until one is put: nobody may link
	Tags   map[string]string `json:",omitempty"`
}

// Link tells that a source account shares its traces with the account of a sink.
type Link struct {
	Arn           string
	Id            string
	Label         string
	LabelTemplate string
	ResourceTypes []string
	SinkArn       string
	Tags          map[string]string `json:",omitempty"`
	// Since is the time from which on received segments are shared, in Unix nanoseconds.
	Since trace.Time
}

// LinkRequest is a request for a link.
type LinkRequest struct {
	LabelTemplate, SinkIdentifier string
	ResourceTypes                 []string
	Tags                          map[string]string
}

// attached is the record of a link in the monitoring account.
type attached struct {
	LinkArn string
	Source  trace.Account
	Sink    string // id
}

// Links keeps sinks and links. Its methods may be called by many goroutines. Their errors
// are KindErrors; the texts are our own unless noted, because AWS's are not recorded.
type Links struct {
	store meta.Store

	mu      sync.Mutex
	changes uint64
	cache   map[trace.Account][]trace.Linked
}

// New makes Links over records.
func New(store meta.Store) *Links {
	return &Links{store: store, cache: map[trace.Account][]trace.Linked{}}
}

// SinkARN returns the ARN of a sink of an owner, and LinkARN of a link.
func SinkARN(o trace.Owner, id string) string { return arn(o, "sink/"+id) }

// LinkARN returns the ARN of a link of an owner.
func LinkARN(o trace.Owner, id string) string { return arn(o, "link/"+id) }

func arn(o trace.Owner, resource string) string {
	return "arn:aws:oam:" + o.Region + ":" + string(o.Account) + ":" + resource
}

func invalid(format string, args ...any) error {
	return trace.Errorf(trace.KindInvalid, format, args...)
}

// newID returns an id that nothing else has.
func newID() string {
	id, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return id.String()
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid("Tags: there are %d, at most %d are allowed", len(tags), maxTags)
	}
	for k, v := range tags {
		if k == "" || len(k) > 128 || len(v) > 256 {
			return invalid("Tags: a key has 1 to 128 characters, a value at most 256; %.130q does not fit", k)
		}
	}
	return nil
}

// CreateSink makes the sink of an account: one in each region.
func (l *Links) CreateSink(ctx context.Context, o trace.Owner, name string, tags map[string]string) (Sink, error) {
	if !validName.MatchString(name) {
		return Sink{}, invalid("Name: %.60q has to be 1 to 255 letters, digits, underscores, hyphens or dots", name)
	}
	if err := checkTags(tags); err != nil {
		return Sink{}, err
	}
	id := newID()
	s := Sink{Arn: SinkARN(o, id), Id: id, Name: name, Tags: tags}
	err := l.update(ctx, o.Account, func(tx meta.Tx) error {
		others, err := list[Sink](tx, sinkKind)
		if err != nil {
			return err
		}
		for _, other := range others {
			if strings.HasPrefix(other.Arn, SinkARN(o, "")) {
				return trace.Errorf(trace.KindConflict, "account %s has a sink in %s already: %s", o.Account, o.Region, other.Arn)
			}
		}
		return tx.Put(sinkKind, id, s)
	})
	return s, err
}

// ListSinks lists the sinks of an account.
func (l *Links) ListSinks(ctx context.Context, o trace.Owner) (sinks []Sink, err error) {
	err = l.store.View(ctx, o.Account, func(tx meta.Tx) error {
		sinks, err = list[Sink](tx, sinkKind)
		return err
	})
	return sinks, err
}

// PutSinkPolicy sets who may link to a sink. Existing links stay.
func (l *Links) PutSinkPolicy(ctx context.Context, o trace.Owner, identifier, policy string) (s Sink, err error) {
	if _, err := parsePolicy(policy); err != nil {
		return Sink{}, err
	}
	err = l.update(ctx, o.Account, func(tx meta.Tx) error {
		if s, err = ownSink(tx, o, identifier); err != nil {
			return err
		}
		s.Policy = policy
		return tx.Put(sinkKind, s.Id, s)
	})
	return s, err
}

// DeleteSink removes a sink without links.
func (l *Links) DeleteSink(ctx context.Context, o trace.Owner, identifier string) error {
	links, err := l.Attached(ctx, o, identifier)
	if err != nil {
		return err
	}
	if len(links) > 0 {
		return trace.Errorf(trace.KindConflict, "the sink has %d links; their source accounts must delete them first", len(links))
	}
	return l.update(ctx, o.Account, func(tx meta.Tx) error {
		s, err := ownSink(tx, o, identifier)
		if err == nil {
			_, err = tx.Delete(sinkKind, s.Id)
		}
		return err
	})
}

// Sink finds a sink of an account by its ARN or id.
func (l *Links) Sink(ctx context.Context, o trace.Owner, identifier string) (s Sink, err error) {
	err = l.store.View(ctx, o.Account, func(tx meta.Tx) error {
		s, err = ownSink(tx, o, identifier)
		return err
	})
	return s, err
}

// ownSink finds a sink of the account of tx, in the owner's region.
func ownSink(tx meta.Tx, o trace.Owner, identifier string) (s Sink, err error) {
	id := identifier
	if parts := validARN.FindStringSubmatch(identifier); parts != nil {
		id = parts[4]
	}
	found, err := tx.Get(sinkKind, or(id, "-"), &s)
	if err == nil && (!found || s.Arn != SinkARN(o, id)) {
		err = trace.Errorf(trace.KindNotFound, "there is no sink %.100q in account %s and region %s", identifier, o.Account, o.Region)
	}
	return s, err
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// CreateLink links an account to the sink of another one in the same region. An unknown
// sink and one that does not allow it are refused alike, so that nobody learns which
// sinks exist. by is the ARN of the principal, "" for the account's root user.
func (l *Links) CreateLink(ctx context.Context, o trace.Owner, by string, r LinkRequest, now trace.Time) (Link, error) {
	sink, err := r.check(o)
	if err != nil {
		return Link{}, err
	}
	refused := trace.Errorf(trace.KindDenied, "the policy of the sink %.100q does not allow account %s to link", r.SinkIdentifier, o.Account)
	link := Link{Id: newID(), LabelTemplate: r.LabelTemplate, ResourceTypes: r.ResourceTypes, SinkArn: r.SinkIdentifier, Tags: r.Tags, Since: now}
	link.Arn, link.Label = LinkARN(o, link.Id), strings.ReplaceAll(r.LabelTemplate, "$AccountName", string(o.Account))
	// First the list of the monitoring account: as long as the source account has no
	// record of the link, it has no effect.
	err = l.update(ctx, sink.Account, func(tx meta.Tx) error {
		s, err := ownSink(tx, sink, r.SinkIdentifier)
		if err != nil || !s.allows(linker{o.Account, by, r.ResourceTypes}) {
			return refused
		}
		all, err := list[attached](tx, attachedKind)
		if err != nil {
			return err
		}
		if len(all) >= maxAttached {
			return trace.Errorf(trace.KindLimit, "the sink has %d links, which is the maximum", len(all))
		}
		return tx.Put(attachedKind, link.Id, attached{LinkArn: link.Arn, Source: o.Account, Sink: s.Id})
	})
	if err != nil {
		return Link{}, err
	}
	err = l.update(ctx, o.Account, func(tx meta.Tx) error {
		mine, err := list[Link](tx, linkKind)
		if err != nil {
			return err
		}
		for _, other := range mine {
			if other.SinkArn == link.SinkArn {
				return trace.Errorf(trace.KindConflict, "account %s is linked to this sink already: %s", o.Account, other.Arn)
			}
		}
		if len(mine) >= maxLinks {
			return trace.Errorf(trace.KindLimit, "account %s has %d links, which is the maximum", o.Account, len(mine))
		}
		return tx.Put(linkKind, link.Id, link)
	})
	if err != nil {
		return Link{}, joinedWith(err, l.detach(ctx, sink.Account, link.Id))
	}
	return link, nil
}

// check validates a request, and returns the owner of the sink.
func (r *LinkRequest) check(o trace.Owner) (sink trace.Owner, err error) {
	parts := validARN.FindStringSubmatch(r.SinkIdentifier)
	switch {
	case parts == nil || parts[3] != "sink":
		return sink, invalid("SinkIdentifier: %.100q is not the ARN of a sink", r.SinkIdentifier)
	case parts[1] != o.Region:
		return sink, invalid("SinkIdentifier: the sink is in region %s, the link in %s; both must be in one region", parts[1], o.Region)
	case parts[2] == string(o.Account):
		return sink, invalid("SinkIdentifier: an account cannot link to its own sink")
	case !validLabel.MatchString(r.LabelTemplate):
		return sink, invalid("LabelTemplate: %.70q has to be 1 to 64 printable characters", r.LabelTemplate)
	case len(r.ResourceTypes) == 0:
		return sink, invalid("ResourceTypes: at least one type is needed, such as %s", TraceType)
	}
	for i, t := range r.ResourceTypes {
		if !slices.Contains(resourceTypes, t) || slices.Contains(r.ResourceTypes[:i], t) {
			return sink, invalid("ResourceTypes: %.60q is unknown or named twice; there are %s", t, strings.Join(resourceTypes, ", "))
		}
	}
	return trace.Owner{Account: trace.Account(parts[2]), Region: parts[1]}, checkTags(r.Tags)
}

// ListLinks lists the links of a source account.
func (l *Links) ListLinks(ctx context.Context, o trace.Owner) (links []Link, err error) {
	err = l.store.View(ctx, o.Account, func(tx meta.Tx) error {
		links, err = list[Link](tx, linkKind)
		return err
	})
	return slices.DeleteFunc(links, func(k Link) bool { return !strings.HasPrefix(k.Arn, LinkARN(o, "")) }), err
}

// Link finds a link of a source account by its ARN or id.
func (l *Links) Link(ctx context.Context, o trace.Owner, identifier string) (Link, error) {
	links, err := l.ListLinks(ctx, o)
	if err != nil {
		return Link{}, err
	}
	i := slices.IndexFunc(links, func(k Link) bool { return k.Arn == identifier || k.Id == identifier })
	if i < 0 {
		return Link{}, trace.Errorf(trace.KindNotFound, "there is no link %.100q in account %s and region %s", identifier, o.Account, o.Region)
	}
	return links[i], nil
}

// DeleteLink ends a link at once.
func (l *Links) DeleteLink(ctx context.Context, o trace.Owner, identifier string) error {
	link, err := l.Link(ctx, o, identifier)
	if err != nil {
		return err
	}
	err = l.update(ctx, o.Account, func(tx meta.Tx) error {
		_, err := tx.Delete(linkKind, link.Id)
		return err
	})
	if err != nil {
		return err
	}
	parts := validARN.FindStringSubmatch(link.SinkArn)
	return l.detach(ctx, trace.Account(parts[2]), link.Id)
}

// detach removes a link from the list of a monitoring account.
func (l *Links) detach(ctx context.Context, account trace.Account, id string) error {
	return l.update(ctx, account, func(tx meta.Tx) error {
		_, err := tx.Delete(attachedKind, id)
		return err
	})
}

// Attached lists the links to a sink, with the account that each comes from in its ARN.
func (l *Links) Attached(ctx context.Context, o trace.Owner, identifier string) (links []Link, err error) {
	s, err := l.Sink(ctx, o, identifier)
	if err != nil {
		return nil, err
	}
	return l.attachedTo(ctx, o.Account, func(sinkARN string) bool { return sinkARN == s.Arn })
}

// attachedTo lists the links to sinks of an account that exist in their source accounts.
func (l *Links) attachedTo(ctx context.Context, account trace.Account, to func(sinkARN string) bool) (links []Link, err error) {
	var all []attached
	sinks := map[string]string{} // ARNs by id
	err = l.store.View(ctx, account, func(tx meta.Tx) error {
		mine, err := list[Sink](tx, sinkKind)
		if err != nil {
			return err
		}
		for _, s := range mine {
			sinks[s.Id] = s.Arn
		}
		all, err = list[attached](tx, attachedKind)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		var link Link
		id := a.LinkArn[strings.LastIndexByte(a.LinkArn, '/')+1:]
		found := false
		err := l.store.View(ctx, a.Source, func(tx meta.Tx) error {
			found, err = tx.Get(linkKind, id, &link)
			return err
		})
		if err != nil {
			return nil, err
		}
		if found && link.Arn == a.LinkArn && link.SinkArn == sinks[a.Sink] && to(link.SinkArn) {
			links = append(links, link)
		}
	}
	return links, nil
}

// Of lists the accounts that share their traces with an account. The list is shared and
// must not be changed.
func (l *Links) Of(ctx context.Context, account trace.Account) ([]trace.Linked, error) {
	l.mu.Lock()
	known, cached := l.cache[account]
	changes := l.changes
	l.mu.Unlock()
	if cached {
		return known, nil
	}
	links, err := l.attachedTo(ctx, account, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	var out []trace.Linked
	for _, link := range links {
		source := trace.Account(validARN.FindStringSubmatch(link.Arn)[2])
		if !slices.Contains(link.ResourceTypes, TraceType) {
			continue
		}
		if i := slices.IndexFunc(out, func(o trace.Linked) bool { return o.Account == source }); i >= 0 {
			out[i].Since = min(out[i].Since, link.Since)
			continue
		}
		out = append(out, trace.Linked{Account: source, Since: link.Since})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changes == changes { // otherwise it may be outdated
		if len(l.cache) >= maxCached {
			clear(l.cache)
		}
		l.cache[account] = out
	}
	return out, nil
}

// maxCached is how many accounts the cache holds.
const maxCached = 10_000

// update changes records of an account and forgets what is cached.
func (l *Links) update(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	err := l.store.Update(ctx, account, f)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	clear(l.cache)
	return err
}

// list reads all records of a kind.
func list[T any](tx meta.Tx, kind meta.Kind) (all []T, err error) {
	err = tx.List(kind, func(name string, value json.RawMessage) error {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return fmt.Errorf("record %s %q: %w", kind, name, err)
		}
		all = append(all, v)
		return nil
	})
	return all, err
}

// joinedWith returns the first error with the second one as its cause, if there is one.
func joinedWith(err, more error) error {
	if more == nil {
		return err
	}
	return fmt.Errorf("%w (and cleaning up: %w)", err, more)
}
