package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Mode says what a server encrypts, and under which keys: the setting --encryption.
type Mode string

// The modes.
const (
	ModeOff   Mode = "off"   // only data of accounts that chose a key of a KMS
	ModeLocal Mode = "local" // everything; data keys are wrapped by the key file
	ModeKMS   Mode = "kms"   // everything; data keys are wrapped by a key of a KMS
)

// Config is an account's own choice (PutEncryptionConfig).
type Config struct {
	Type  string // NONE: the key of the server; KMS: its own key
	KeyID string // of KMS: alias, id or ARN of the key
}

// The types of a Config.
const (
	TypeNone = "NONE"
	TypeKMS  = "KMS"
)

// Defaults of Options.
const (
	DefaultCacheTime = 5 * time.Minute
	DefaultKeyAge    = 24 * time.Hour
	DefaultKeyBytes  = 64 << 30
)

// ErrDestroyed means that a data key was destroyed on purpose: what was sealed under it
// is unreadable for good.
var ErrDestroyed = errors.New("the key was destroyed")

// Options describe a Ring.
type Options struct {
	FS      vfs.FS // nil: the operating system's
	Dir     string // the data directory; the caller holds its lock
	KeyFile string // "" for Dir.key, beside the data directory
	Mode    Mode   // "" for off
	KMS     KMS    // nil for none
	KMSKey  string // ModeKMS: alias, id or ARN of the key of accounts that chose none
	// CacheTime limits how long a data key stays in memory in the clear, and thus how
	// long a disabled key of a KMS can still be used. 0 for DefaultCacheTime.
	CacheTime time.Duration
	KeyAge    time.Duration // after it a new data key replaces the newest; 0 for DefaultKeyAge
	KeyBytes  int64         // the same after so much data, counted from the start; 0 for DefaultKeyBytes
	// ReadOnly leaves all files as they are: damage is reported, not repaired, and no key
	// is made.
	ReadOnly bool
	Logger   *slog.Logger // nil for none
	Now      func() time.Time
}

// Ring keeps the data keys of all accounts, wrapped, in the folder keys of the data
// directory (docs/format/keys.md). It makes no file before a key is needed.
type Ring struct {
	o     Options
	local *keyFile
	wake  chan struct{}

	mu      sync.RWMutex
	closed  bool
	owners  map[trace.Account]*owner
	serverT string // the ARN to which Options.KMSKey resolved; "" while unknown
	lostKey string // why the key file that was read before cannot be read any more

	background sync.WaitGroup
	life       context.Context // ends with Close; then calls of a KMS are broken off
	end        context.CancelFunc
}

var _ Keys = (*Ring)(nil)

// Open reads the ring of a data directory. A damaged file makes its account unreadable,
// but is no error.
func Open(o Options) (*Ring, error) {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.KeyFile == "" {
		o.KeyFile = filepath.Clean(o.Dir) + ".key"
	}
	if o.Mode == "" {
		o.Mode = ModeOff
	}
	o.CacheTime, o.KeyAge, o.KeyBytes = or(o.CacheTime, DefaultCacheTime), or(o.KeyAge, DefaultKeyAge), or(o.KeyBytes, DefaultKeyBytes)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Mode == ModeKMS && (o.KMS == nil || o.KMSKey == "") {
		return nil, errors.New("--encryption kms needs --kms-key, the key for accounts that chose none")
	}
	r := &Ring{o: o, local: &keyFile{fs: o.FS, path: o.KeyFile}, wake: make(chan struct{}, 1), owners: map[trace.Account]*owner{}}
	r.life, r.end = context.WithCancel(context.Background())
	return r, r.load()
}

func or[T comparable](v, otherwise T) T {
	if v == *new(T) {
		return otherwise
	}
	return v
}

// Secrets opens the ring of a data directory for the secrets of credentials. They are
// sealed even if the server encrypts nothing: keys of accounts without any are made, as
// is the key file ("": the default). The caller holds the lock of the directory. Use
// System as the account for secrets that must stay readable if the key of their account
// is disabled.
func Secrets(dir, file string) (Keys, error) {
	r, err := Open(Options{Dir: dir, KeyFile: file})
	if err != nil {
		return nil, err
	}
	return r.Secrets(), nil
}

// load reads the files of all accounts and repairs those whose other copy is good.
func (r *Ring) load() error {
	names, err := r.o.FS.List(filepath.Join(r.o.Dir, Folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	for _, name := range names {
		account := trace.Account(strings.TrimSuffix(name, copySuffix))
		if !accountName.MatchString(string(account)) || r.owners[account] != nil {
			continue
		}
		a := newOwner(r, account)
		r.owners[account] = a
		s, heal, err := readStates(r.o.FS, r.o.Dir, account)
		if err != nil {
			a.damage = err.Error()
			r.o.Logger.Error("the keys of an account are damaged, so its data cannot be read", "account", account, "error", err)
			continue
		}
		if heal != "" && r.o.ReadOnly {
			a.repair = heal
		} else if heal != "" {
			r.o.Logger.Warn("a file with keys is repaired from its copy", "account", account, "reason", heal)
			if err := writeState(r.o.FS, r.o.Dir, s); err != nil {
				r.o.Logger.Error("a file with keys cannot be repaired", "account", account, "error", err)
			}
		}
		a.state.Store(s)
		a.tried = s.Revision
	}
	return nil
}

// owner returns the part of the ring of an account.
func (r *Ring) owner(account trace.Account) (*owner, error) {
	r.mu.RLock()
	a := r.owners[account]
	r.mu.RUnlock()
	if a != nil {
		return a, nil
	}
	if !accountName.MatchString(string(account)) {
		return nil, trace.Errorf(trace.KindInternal, "%.40q is no account: it cannot have keys", account)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a = r.owners[account]; a == nil {
		a = newOwner(r, account)
		r.owners[account] = a
	}
	return a, nil
}

// list returns all owners in the order of their accounts.
func (r *Ring) list() []*owner {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*owner, 0, len(r.owners))
	for _, a := range r.owners {
		out = append(out, a)
	}
	slices.SortFunc(out, func(x, y *owner) int { return strings.Compare(string(x.account), string(y.account)) })
	return out
}

// Newest implements Keys.
func (r *Ring) Newest(ctx context.Context, account trace.Account) (*Key, error) {
	a, err := r.owner(account)
	if err != nil {
		return nil, err
	}
	if !a.encrypts() {
		return nil, nil
	}
	return a.newest(ctx)
}

// Find implements Keys.
func (r *Ring) Find(ctx context.Context, account trace.Account, id uint32) (*Key, error) {
	a, err := r.owner(account)
	if err != nil {
		return nil, err
	}
	return a.find(ctx, id)
}

// Secrets returns the same keys for data that is always encrypted: its Newest never
// returns a nil Key.
func (r *Ring) Secrets() Keys { return secrets{r} }

type secrets struct{ *Ring }

// Newest returns a key, even if encryption is off.
func (s secrets) Newest(ctx context.Context, account trace.Account) (*Key, error) {
	a, err := s.owner(account)
	if err != nil {
		return nil, err
	}
	return a.newest(ctx)
}

// Run keeps the ring in order until ctx ends: it completes changes, wraps old keys under
// the present key, and removes keys from memory whose time is over.
func (r *Ring) Run(ctx context.Context) error {
	tick := time.NewTicker(min(r.o.CacheTime/2, 15*time.Second))
	defer tick.Stop()
	for {
		r.sweep()
		r.probe(ctx)
		r.Maintain(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.wake:
		}
	}
}

// Close ends calls that still run. Close what uses the keys first: to close a store is to
// encrypt its last data.
func (r *Ring) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.background.Wait()
}

// later runs f in the background, unless the ring is closed.
func (r *Ring) later(f func()) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.closed {
		r.background.Go(f)
	}
}

// Maintain does once what Run does all the time. Errors are in Report.
func (r *Ring) Maintain(ctx context.Context) {
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, a := range r.list() {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			a.maintain(ctx)
		})
	}
	all.Wait()
}

// probe tries the keys of the server itself, and those that failed: so a report is right
// even if nobody uses the keys.
func (r *Ring) probe(ctx context.Context) {
	for _, a := range r.list() {
		if s := a.state.Load(); len(s.Keys) > 0 && a.encrypts() && (a.account == System || a.problem() != "") {
			r.later(func() {
				for _, k := range s.oneOfEach() {
					_, _ = a.find(ctx, k) // the owner remembers errors
				}
			})
		}
	}
}

// sweep forgets keys in memory whose time is over, and looks whether the key file is still
// there.
func (r *Ring) sweep() {
	for _, a := range r.list() {
		a.sweep(r.o.Now())
	}
	lost := ""
	if err := r.local.reread(); err != nil {
		lost = fmt.Sprintf("%v. The keys are still in memory: put the file back before the server stops, or its data is lost", err)
	}
	r.mu.Lock()
	before := r.lostKey
	r.lostKey = lost
	r.mu.Unlock()
	if lost != "" && before == "" {
		r.o.Logger.Error("the key file cannot be read any more", "reason", lost)
	}
}

// wakeUp makes Run look for work now.
func (r *Ring) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default: // it is awake
	}
}
