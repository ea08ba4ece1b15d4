package server

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/backup"
	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/oam"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/policy/resource"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/setting"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// openRecords opens the control-plane records. If their file is damaged or cannot be
// read, the server still receives and serves traces; requests that need a record get
// the reason as an error.
func (s *server) openRecords() {
	var err error
	if s.meta, err = sqlite.OpenSealed(s.config.Data, RecordOptions(s.keys)); err == nil {
		s.records = s.meta
		return
	}
	s.meta, s.recordsLost = nil, err.Error()
	s.records = meta.Unavailable(err)
	s.log.Error("control-plane records cannot be read; traces are served without groups, sampling rules and settings", "damage", s.recordsLost)
}

// keepFiles makes the engine notice when files of others disappear.
func (s *server) keepFiles() {
	var names []string
	if s.meta != nil {
		names = append(names, sqlite.FileName)
	}
	if r, err := s.keys.Account(seal.System); err == nil && r.Keys > 0 {
		names = append(names, filepath.ToSlash(filepath.Join(seal.Folder, string(seal.System))))
	}
	for _, name := range names {
		if err := s.shelf.Keep(name); err != nil {
			s.log.Warn("if a file disappears, the server will not notice", "file", name, "error", err)
		}
	}
}

// damage returns descriptions of all known damage, and the number of damaged places.
func (s *server) damage(st answer.Stats) (texts []string, n int64) {
	texts, n = slices.Clone(st.Damage), st.Damaged
	if s.recordsLost != "" {
		texts, n = append(texts, s.recordsLost), n+1
	}
	if s.meta != nil {
		lost := s.meta.Damage()
		texts, n = append(texts, lost...), n+int64(len(lost))
	}
	problems := s.keys.Problems()
	return append(texts, problems...), n + int64(len(problems))
}

// keysOf returns why the keys of an account cannot be used, for its status page.
func (s *server) keysOf(account trace.Account) []string {
	if r, err := s.keys.Account(account); err == nil && r.Problem != "" {
		return []string{r.Problem}
	}
	return nil
}

// leftovers looks for files of interrupted backups and restores in and around the data
// directory.
func leftovers(data string) []string {
	return backup.Leftovers(data, filepath.Join(data, ".."), ".")
}

// CheckDirectory reads the files of a data directory that do not belong to the store: all
// control-plane records, with their keys, and leftovers of backups and restores. It
// changes nothing. files is the number of files with records.
func CheckDirectory(ctx context.Context, data string, keys *seal.Ring) (files int, damage, notes []string, err error) {
	damage, found, err := sqlite.Check(ctx, data, RecordOptions(keys), readRecords)
	if found {
		files++
	}
	return files, append(damage, keys.Damage()...), leftovers(data), err
}

// readRecords decodes all records of an account, as their users do.
func readRecords(records meta.Store, account trace.Account) (failed []error) {
	ctx := context.Background()
	note := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	groups := group.New(records, group.Options{})
	_, err := groups.List(ctx, trace.Owner{Account: account})
	note(err)
	_, err = groups.Versions(ctx, account)
	note(err)
	_, err = sample.New(records).Rules(ctx, trace.Owner{Account: account})
	note(err)
	policies, err := resource.New(records).List(ctx, account)
	note(err)
	for _, p := range policies {
		if _, err := policy.Parse(p.Document); err != nil {
			note(fmt.Errorf("resource policy %q: %w", p.Name, err))
		}
	}
	_, err = scrub.New(scrub.Options{Store: records}).List(ctx, account)
	note(err)
	settings := setting.New(records)
	_, err = settings.Encryption(ctx, account)
	note(err)
	_, err = settings.Destination(ctx, account)
	note(err)
	_, err = settings.Indexing(ctx, account)
	note(err)
	_, err = settings.Indexed(ctx, account)
	note(err)
	links := oam.New(records)
	_, err = links.ListLinks(ctx, trace.Owner{Account: account})
	note(err)
	_, err = links.Of(ctx, account)
	note(err)
	note(records.View(ctx, account, func(tx meta.Tx) error {
		return tx.List(tag.Kind, func(arn string, value json.RawMessage) error {
			var tags []tag.Tag
			if err := json.Unmarshal(value, &tags); err != nil {
				return fmt.Errorf("tags of %s: %w", arn, err)
			}
			return nil
		})
	}))
	return append(failed, iam.Check(ctx, records, account)...)
}
