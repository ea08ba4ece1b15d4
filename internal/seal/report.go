package seal

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// The states of an account's configuration, in the words of the X-Ray API.
const (
	StatusActive   = "ACTIVE"
	StatusUpdating = "UPDATING"
)

// Report describes a ring, without secrets.
type Report struct {
	Mode     Mode            `json:"mode"`
	KeyFile  string          `json:"key_file"` // path, even if the file is not needed
	KMSKey   string          `json:"kms_key,omitempty"`
	Accounts []AccountReport `json:"accounts"`
	Problems []string        `json:"problems"` // in plain words
}

// AccountReport describes the keys of an account.
type AccountReport struct {
	Account   trace.Account  `json:"account"`
	Encrypts  bool           `json:"encrypts"` // new data
	Type      string         `json:"type"`
	KeyID     string         `json:"key_id,omitempty"`
	Status    string         `json:"status"`
	Keys      int            `json:"data_keys"`
	Newest    uint32         `json:"newest,omitempty"`
	Created   *time.Time     `json:"newest_created,omitempty"`
	Wrappers  map[string]int `json:"wrapped_by"` // number of data keys by wrapping key
	Destroyed *time.Time     `json:"destroyed,omitempty"`
	// Problem tells why the keys cannot be used, Pending why old keys are not under the
	// present wrapping key; "" for neither.
	Problem string `json:"problem,omitempty"`
	Pending string `json:"pending,omitempty"`
}

// Report returns the state of all accounts with keys.
func (r *Ring) Report() Report {
	out := Report{Mode: r.o.Mode, KeyFile: r.o.KeyFile, KMSKey: r.o.KMSKey, Accounts: []AccountReport{}, Problems: r.Problems()}
	for _, a := range r.list() {
		if a.state.Load().Revision > 0 || a.damage != "" || a.problem() != "" {
			out.Accounts = append(out.Accounts, a.report())
		}
	}
	return out
}

// Account returns the report of one account, which may have no keys.
func (r *Ring) Account(account trace.Account) (AccountReport, error) {
	a, err := r.owner(account)
	if err != nil {
		return AccountReport{}, err
	}
	return a.report(), nil
}

// Problems lists in plain words what cannot be used, and why.
func (r *Ring) Problems() []string {
	out := []string{}
	r.mu.RLock()
	if r.lostKey != "" {
		out = append(out, r.lostKey)
	}
	r.mu.RUnlock()
	for _, a := range r.list() {
		if p := a.problem(); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// Damage lists the accounts whose files cannot be read, and the files that a ReadOnly ring
// did not repair.
func (r *Ring) Damage() (texts []string) {
	for _, a := range r.list() {
		if a.damage != "" {
			texts = append(texts, a.lost(nil, 0).Error())
		}
		if a.repair != "" {
			texts = append(texts, a.repair+"; the other copy is good, and the next start repairs this one")
		}
	}
	return texts
}

func (a *owner) report() AccountReport {
	s := a.state.Load()
	out := AccountReport{
		Account: a.account, Encrypts: a.encrypts(), Type: s.Config.Type, KeyID: s.Config.KeyID, Status: StatusActive,
		Keys: len(s.Keys), Wrappers: map[string]int{}, Destroyed: s.Destroyed, Problem: a.problem(),
	}
	if s.Updating {
		out.Status = StatusUpdating
	}
	if n := s.newest(); n != nil {
		out.Newest, out.Created = n.ID, &n.Created
	}
	for _, k := range s.Keys {
		out.Wrappers[k.Wrapper]++
	}
	a.mu.RLock()
	out.Pending = a.left
	a.mu.RUnlock()
	return out
}

// problem tells why keys of the account cannot be used; "" if they can.
func (a *owner) problem() string {
	if a.damage != "" {
		return a.lost(nil, 0).Error()
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	var texts []string
	for _, f := range a.failures {
		texts = append(texts, fmt.Sprintf("%v (since %s)", f.err, f.since.UTC().Format(time.RFC3339)))
	}
	if texts == nil {
		return ""
	}
	slices.Sort(texts)
	return fmt.Sprintf("the data keys of account %s cannot be used: %s", a.account, strings.Join(slices.Compact(texts), "; "))
}

// Backup adds the files of the ring to a backup. They hold data keys that only the owner of
// the wrapping keys can read. The key file is not among them.
func (r *Ring) Backup(add func(name string, size int64, content io.Reader) error) error {
	for _, a := range r.list() {
		s := a.state.Load()
		if a.damage != "" {
			return a.lost(s, 0)
		}
		if s.Revision == 0 {
			continue
		}
		b, err := s.encode()
		if err != nil {
			return err
		}
		name := path.Join(Folder, string(a.account))
		for _, n := range []string{name, name + copySuffix} {
			if err := add(n, int64(len(b)), bytes.NewReader(b)); err != nil {
				return err
			}
		}
	}
	return nil
}
