package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// record is a stored session. Its name is its id. It does not depend on the User-Agent:
// whoever steals a cookie knows this header, too, and updates of a browser change it.
type record struct {
	ID       string
	Account  trace.Account
	User     string `json:",omitempty"` // name, or
	Role     string `json:",omitempty"` // ARN
	UniqueID string // of the user or role
	Name     string `json:",omitempty"` // of the role's session
	Method   Method
	MFA      bool   `json:",omitempty"`
	Provider string `json:",omitempty"`
	Source   string `json:",omitempty"` // source identity
	// Hash is the SHA-256 of the cookie's secret, Previous that of the one before, Rotated
	// when it was replaced. Confirmed tells that the browser has sent the new one.
	Hash      string
	Previous  string `json:",omitempty"`
	Rotated   time.Time
	Confirmed bool
	CSRF      string // token that changing requests must carry
	Created   time.Time
	Expires   time.Time // at the latest
	Used      time.Time // by a person, written at most once a minute
	Address   string    // of the login
	Agent     string    `json:",omitempty"` // of the login
}

// Session is a session without its secret; a new one has its cookie.
type Session struct {
	ID      string
	User    string // name, or ROLE/SESSION
	ARN     string
	Method  Method
	Created time.Time
	Used    time.Time
	Expires time.Time
	Address string
	Agent   string
	Cookie  *http.Cookie
	As      identity.Principal // of a new session
}

// sight remembers the last use of a session, so that not every request writes it.
type sight struct {
	account   trace.Account
	mu        sync.Mutex
	used      time.Time
	rotated   time.Time
	confirmed bool
}

const (
	// grace is how long the cookie before is still valid: requests that were on their way.
	grace = time.Minute
	// usedEvery is how often the last use of a session is written.
	usedEvery = time.Minute
	// mostSessions bounds the sessions of one user or role; the oldest end.
	mostSessions = 100
)

// TokenHeader carries the CSRF token of a session, on each request that is no GET or HEAD.
const TokenHeader = "Fluoro-Token"

// IdleHeader tells that a program made the request, not a person: such requests do not
// keep a session alive.
const IdleHeader = "Fluoro-Idle"

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// ended is the error of a session that is over, or never was.
func ended() error {
	return &identity.Failure{Exception: "ExpiredTokenException", Reason: "session", Message: "The session has ended. Sign in again."} // not recorded
}

// begin starts a session. It always makes a new id and secret: a cookie that somebody else
// planted before the login is worth nothing.
func (l *Logins) begin(ctx context.Context, r record, from From) (Session, error) {
	now := l.Now().UTC().Truncate(time.Millisecond)
	t := ticket{r.Account, random(idBytes), random(secretBytes)}
	r.ID, r.Hash, r.Rotated, r.Confirmed, r.CSRF = t.id, hashOf(t.secret), now, true, random(18)
	r.Created, r.Used, r.Expires = now, now, now.Add(l.Absolute)
	r.Address, r.Agent = from.Source, clip(strings.ToValidUTF8(from.Agent, "?"), 300)
	p, err := l.principal(ctx, &r)
	if err != nil {
		return Session{}, failed()
	}
	err = l.Records.Update(ctx, r.Account, func(tx meta.Tx) error {
		var own []record
		if err := list(tx, func(other record) error {
			if !l.over(&other, now) && other.UniqueID == r.UniqueID {
				own = append(own, other)
				return nil
			} else if l.over(&other, now) {
				_, err := tx.Delete(kindSession, other.ID)
				return err
			}
			return nil
		}); err != nil {
			return err
		}
		slices.SortFunc(own, func(a, b record) int { return a.Used.Compare(b.Used) })
		for len(own) >= mostSessions {
			if _, err := tx.Delete(kindSession, own[0].ID); err != nil {
				return err
			}
			own = own[1:]
		}
		return tx.Put(kindSession, r.ID, r)
	})
	if err != nil {
		return Session{}, err
	}
	s := l.shown(&r)
	s.As, s.Cookie = p, sessionCookie(t.String(), from.Secure)
	return s, nil
}

func list(tx meta.Tx, each func(record) error) error {
	return tx.List(kindSession, func(_ string, value json.RawMessage) error {
		var r record
		if err := json.Unmarshal(value, &r); err != nil {
			return &trace.KindError{Kind: trace.KindUnavailable, Message: "a console session cannot be decoded", Err: err}
		}
		return each(r)
	})
}

// over tells whether a session has ended. A session may be used later than its record
// says.
func (l *Logins) over(r *record, now time.Time) bool {
	used := r.Used
	if m := l.seen.Get(r.ID); m != nil {
		m.mu.Lock()
		if m.used.After(used) {
			used = m.used
		}
		m.mu.Unlock()
	}
	return !now.Before(r.Expires) || now.Sub(used) >= l.Idle
}

// principal returns the principal of a session.
func (l *Logins) principal(ctx context.Context, r *record) (identity.Principal, error) {
	return l.Directory.LoginPrincipal(ctx, iam.Login{
		Account: r.Account, User: r.User, Role: r.Role, ID: r.UniqueID, Session: r.Name, KeyID: r.ID,
		Issued: r.Created, Expires: r.Expires, MFA: r.MFA, Provider: r.Provider, Source: r.Source,
	})
}

// read reads the record of a session.
func (l *Logins) read(ctx context.Context, account trace.Account, id string) (r record, there bool, err error) {
	err = l.Records.View(ctx, account, func(tx meta.Tx) error {
		there, err = tx.Get(kindSession, id, &r)
		return err
	})
	return r, there, err
}

// Authenticate finds the principal of the session to which a request belongs (package
// authn asks it). present is false if the request has no cookie of ours.
func (l *Logins) Authenticate(ctx context.Context, c identity.Call) (p identity.Principal, present bool, err error) {
	t, present, ok := ticketOf(c.Request, c.Secure)
	if !present || !ok {
		return p, present, ended()
	}
	r, there, err := l.read(ctx, t.account, t.id)
	if err != nil {
		return p, true, err
	}
	hash, now := hashOf(t.secret), l.Now()
	current, previous := same(hash, r.Hash), same(hash, r.Previous)
	switch {
	case !there || !current && !previous:
		return p, true, ended()
	case l.over(&r, now):
		return p, true, ended()
	case !current && r.Confirmed && now.Sub(r.Rotated) > grace:
		// The browser has the new cookie, so somebody else has the old one. Nobody can tell
		// which of the two is the thief.
		return p, true, l.stolen(ctx, &r, c)
	}
	if m := c.Request.Method; m != http.MethodGet && m != http.MethodHead && !same(r.CSRF, c.Request.Header.Get(TokenHeader)) {
		return p, true, &identity.Failure{Exception: "InvalidSignatureException", Reason: "csrf", Message: "The request carries a session but not the session's token in the header " + TokenHeader + "."} // not recorded
	}
	if p, err = l.principal(ctx, &r); err != nil {
		if trace.KindOf(err) == trace.KindDenied {
			err = ended() // the user or role was deleted, or its sessions revoked
		}
		return p, true, err
	}
	if err := l.note(ctx, &r, current, now, c); err != nil {
		l.Logger.Warn("the last use of a console session could not be written", "error", err)
	}
	return p, true, nil
}

// stolen ends a session whose old cookie was used again.
func (l *Logins) stolen(ctx context.Context, r *record, c identity.Call) error {
	if _, err := l.revoke(ctx, r.Account, func(o *record) bool { return o.ID == r.ID }); err != nil {
		return err
	}
	err := ended()
	l.event(ctx, Event{Name: "SessionReuse", Owner: trace.Owner{Account: r.Account, Region: l.Owner.Region}, Who: l.shown(r).ARN, Session: r.ID, Method: r.Method},
		From{Source: c.Source, Agent: c.Request.UserAgent()}, trace.Errorf(trace.KindDenied, "an old cookie of the session was used again: the session is ended"))
	return err
}

// note remembers the use of a session.
func (l *Logins) note(ctx context.Context, r *record, current bool, now time.Time, c identity.Call) error {
	m := l.seen.Get(r.ID)
	if m == nil {
		m = &sight{account: r.Account, used: r.Used}
		l.seen.Put(r.ID, m, 1)
	}
	person := c.Request.Header.Get(IdleHeader) == "" && c.Action != "fluoro:GetLiveEvents"
	m.mu.Lock()
	m.rotated, m.confirmed = r.Rotated, r.Confirmed
	if person && now.After(m.used) {
		m.used = now
	}
	used := m.used
	m.mu.Unlock()
	confirm := current && !r.Confirmed
	if !confirm && used.Sub(r.Used) < usedEvery {
		return nil
	}
	return l.change(ctx, r.Account, r.ID, func(r *record) bool {
		r.Used = used.UTC()
		r.Confirmed = r.Confirmed || confirm
		return true
	})
}

// change changes the record of a session if it still exists and f returns true.
func (l *Logins) change(ctx context.Context, account trace.Account, id string, f func(*record) bool) error {
	return l.Records.Update(ctx, account, func(tx meta.Tx) error {
		var r record
		if there, err := tx.Get(kindSession, id, &r); err != nil || !there || !f(&r) {
			return err
		}
		return tx.Put(kindSession, id, r)
	})
}

// Renew replaces the cookie of a session that is old enough. It returns nil if the cookie
// stays.
func (l *Logins) Renew(ctx context.Context, r *http.Request, p identity.Principal, secure bool) (*http.Cookie, error) {
	now := l.Now().UTC()
	if m := l.seen.Get(p.KeyID); m != nil {
		m.mu.Lock()
		due := now.Sub(m.rotated) >= l.Rotate || !m.confirmed && now.Sub(m.rotated) > grace
		m.mu.Unlock()
		if !due {
			return nil, nil
		}
	}
	t, _, ok := ticketOf(r, secure)
	if !ok || t.id != p.KeyID {
		return nil, nil
	}
	fresh := ticket{t.account, t.id, random(secretBytes)}
	rotated := false
	err := l.change(ctx, t.account, t.id, func(r *record) bool {
		hash := hashOf(t.secret)
		lost := same(hash, r.Previous) && !r.Confirmed && now.Sub(r.Rotated) > grace
		rotated = lost || same(hash, r.Hash) && now.Sub(r.Rotated) >= l.Rotate
		if rotated {
			r.Previous, r.Hash, r.Rotated, r.Confirmed = hash, hashOf(fresh.secret), now, false
		}
		return rotated
	})
	if err != nil || !rotated {
		return nil, err
	}
	return sessionCookie(fresh.String(), secure), nil
}

// shown converts a session for lists.
func (l *Logins) shown(r *record) Session {
	s := Session{ID: r.ID, User: r.User, Method: r.Method, Created: r.Created, Used: r.Used, Expires: r.Expires, Address: r.Address, Agent: r.Agent}
	if m := l.seen.Get(r.ID); m != nil {
		m.mu.Lock()
		if m.used.After(s.Used) {
			s.Used = m.used.UTC()
		}
		m.mu.Unlock()
	}
	if r.Role != "" {
		s.User = r.Role[strings.LastIndexByte(r.Role, '/')+1:] + "/" + r.Name
		s.ARN = "arn:aws:sts::" + string(r.Account) + ":assumed-role/" + s.User
	} else {
		s.ARN = iam.ARN(r.Account, "user/"+r.User)
	}
	return s
}

// Token returns the CSRF token of a session.
func (l *Logins) Token(ctx context.Context, p identity.Principal) (string, Session, error) {
	r, there, err := l.read(ctx, p.Account, p.KeyID)
	if err == nil && !there {
		err = ended()
	}
	return r.CSRF, l.shown(&r), err
}

// Sessions lists the sessions of an account, or of one principal by ARN, the last used
// first.
func (l *Logins) Sessions(ctx context.Context, account trace.Account, arn string) (out []Session, err error) {
	now := l.Now()
	err = l.Records.View(ctx, account, func(tx meta.Tx) error {
		out = []Session{}
		return list(tx, func(r record) error {
			if s := l.shown(&r); !l.over(&r, now) && (arn == "" || s.ARN == arn) {
				out = append(out, s)
			}
			return nil
		})
	})
	slices.SortFunc(out, func(a, b Session) int { return b.Used.Compare(a.Used) })
	return out, err
}

// Revoke ends a session by id, or all sessions of a principal by ARN. It returns how many
// ended.
func (l *Logins) Revoke(ctx context.Context, account trace.Account, id, arn string) (int, error) {
	if id == "" && arn == "" {
		return 0, trace.Errorf(trace.KindInvalid, "a session or a principal is required")
	}
	return l.revoke(ctx, account, func(r *record) bool {
		return (id == "" || r.ID == id) && (arn == "" || l.shown(r).ARN == arn)
	})
}

// SessionARN returns the ARN of the principal of a session, "" if there is none.
func (l *Logins) SessionARN(ctx context.Context, account trace.Account, id string) (string, error) {
	if id == "" || len(id) > 100 {
		return "", nil
	}
	r, there, err := l.read(ctx, account, id)
	if err != nil || !there {
		return "", err
	}
	return l.shown(&r).ARN, nil
}

// revoke ends sessions, and their running requests.
func (l *Logins) revoke(ctx context.Context, account trace.Account, is func(*record) bool) (n int, err error) {
	var gone []string
	err = l.Records.Update(ctx, account, func(tx meta.Tx) error {
		gone = nil
		return list(tx, func(r record) error {
			if !is(&r) {
				return nil
			}
			gone = append(gone, r.ID)
			_, err := tx.Delete(kindSession, r.ID)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	for _, id := range gone {
		l.cut(id)
	}
	return len(gone), nil
}

// Logout ends the session of a principal and returns the cookie that deletes the
// browser's.
func (l *Logins) Logout(ctx context.Context, p identity.Principal, from From) (*http.Cookie, error) {
	_, err := l.Revoke(ctx, p.Account, p.KeyID, "")
	l.event(ctx, Event{Name: "Logout", Owner: p.Owner, Who: p.ARN, Session: p.KeyID}, from, err)
	return sessionCookie("", from.Secure), err
}

// Bind returns a context that ends when the session of a principal does: a stream of
// events must not outlive it. The caller calls done.
func (l *Logins) Bind(ctx context.Context, p identity.Principal) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	end := func() { cancel() }
	key := &end
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound[p.KeyID] == nil {
		l.bound[p.KeyID] = map[*func()]struct{}{}
	}
	l.bound[p.KeyID][key] = struct{}{}
	return ctx, func() {
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.bound[p.KeyID], key)
		if len(l.bound[p.KeyID]) == 0 {
			delete(l.bound, p.KeyID)
		}
	}
}

// cut ends the running requests of a session.
func (l *Logins) cut(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := range l.bound[id] {
		(*end)()
	}
}

// Run ends the streams of sessions that have ended, until ctx ends.
func (l *Logins) Run(ctx context.Context) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.sweep(ctx)
	}
}

// sweep ends the streams of sessions that have ended.
func (l *Logins) sweep(ctx context.Context) {
	l.mu.Lock()
	ids := make([]string, 0, len(l.bound))
	for id := range l.bound {
		ids = append(ids, id)
	}
	l.mu.Unlock()
	for _, id := range ids {
		m := l.seen.Get(id)
		if m == nil {
			l.cut(id) // its next request reads the record
			continue
		}
		r, there, err := l.read(ctx, m.account, id)
		if err == nil && (!there || l.over(&r, l.Now())) {
			l.cut(id)
			continue
		}
		if _, err := l.principal(ctx, &r); err == nil || trace.KindOf(err) != trace.KindDenied {
			continue
		}
		l.cut(id)
	}
}
