package erase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Signed is a report and its signature. The signature covers Text, byte for byte.
type Signed struct {
	Report *Report
	audit.SignedText
}

// sign signs a report.
func sign(s *audit.Signer, r *Report) (*Signed, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	signed, err := s.SignText(b)
	return &Signed{r, signed}, err
}

// backupKind is the kind of the records of backups. A record has the time as its name.
const backupKind meta.Kind = "backup"

// maxBackups is how many backups are remembered.
const maxBackups = 1000

// NoteBackup remembers that a backup was made, for the reports of later erasures.
func NoteBackup(ctx context.Context, records meta.Store, b Backup) error {
	return records.Update(ctx, seal.System, func(tx meta.Tx) error {
		var names []string
		if err := tx.List(backupKind, func(name string, _ json.RawMessage) error {
			names = append(names, name)
			return nil
		}); err != nil {
			return err
		}
		for _, name := range names[:max(0, len(names)+1-maxBackups)] { // the oldest
			if _, err := tx.Delete(backupKind, name); err != nil {
				return err
			}
		}
		return tx.Put(backupKind, b.Time.UTC().Format("2006-01-02T15:04:05.000000000Z"), b)
	})
}

// backups lists the backups made before a time.
func backups(ctx context.Context, records meta.Store, before time.Time) (list []Backup, err error) {
	list = []Backup{}
	err = records.View(ctx, seal.System, func(tx meta.Tx) error {
		return tx.List(backupKind, func(name string, value json.RawMessage) error {
			var b Backup
			if err := json.Unmarshal(value, &b); err != nil {
				return fmt.Errorf("record of backup %s: %w", name, err)
			}
			if b.Time.Before(before) {
				list = append(list, b)
			}
			return nil
		})
	})
	return list, err
}

// Backups lists the backups that the service made, the oldest first.
func Backups(ctx context.Context, records meta.Store) ([]Backup, error) {
	return backups(ctx, records, time.Unix(1<<40, 0))
}

func asDamaged(err error) ([]trace.ID, bool) {
	var d *store.DamagedError
	if errors.As(err, &d) {
		return d.IDs, true
	}
	return nil, false
}

// Text writes a report for people. It has no control characters besides line feeds.
func (r *Report) Text() string {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	what := fmt.Sprintf("%d traces", len(r.Request.Traces))
	switch {
	case r.Request.User != "":
		what = fmt.Sprintf("user %+q", r.Request.User)
	case r.Request.Annotation != "":
		what = fmt.Sprintf("annotation %+q", r.Request.Annotation)
	}
	line("Erasure %s of %s in account %s", r.ID, what, r.Account)
	line("requested    %s by %+q", r.Requested.Format(time.RFC3339), r.By)
	if r.Request.Reason != "" {
		line("reason       %+q", r.Request.Reason)
	}
	line("completed    %s", r.Completed.Format(time.RFC3339))
	line("before       %d traces, %d segments", r.Before.Traces, r.Before.Segments)
	if r.Request.DryRun {
		line("held         %d traces", len(r.Held))
		line("nothing was deleted: this was a dry run")
		return b.String()
	}
	line("deleted      %d traces", r.Deleted)
	line("records      %d deleted, such as findings", r.Records)
	line("held         %d traces, which legal holds protect", len(r.Held))
	line("after        %d traces, %d segments", r.After.Traces, r.After.Segments)
	if r.Purged {
		line("disk         no file of the store holds the deleted data")
	} else {
		line("disk         NOT COMPLETE: %+q", r.PurgeError)
	}
	line("proof        %s %s examined %d traces and found %d, at %s", r.Proof.Operation, r.Proof.Filter, r.Proof.Examined, r.Proof.Found, r.Proof.At.Format(time.RFC3339))
	line("late data    refused until %s", r.RefusedUntil.Format(time.RFC3339))
	line("backups      %d were made before and may hold the data", len(r.Backups))
	for _, x := range r.Backups {
		line("             %s, %d bytes, by %+q", x.Time.Format(time.RFC3339), x.Bytes, x.By)
	}
	for _, n := range r.Notes {
		line("note         %+q", n)
	}
	return b.String()
}
