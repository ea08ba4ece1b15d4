package server

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/group"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// When the store closes, it writes its last blocks and needs the groups from the
// records for them, so the records must still be open.
func TestClose_theStoreBeforeTheRecords(t *testing.T) {
	dir := t.TempDir()
	s := &server{config: &config.Config{Data: dir}, log: slog.New(slog.DiscardHandler)}
	asked, goOn, told := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var err error
	if s.meta, err = sqlite.Open(dir); err != nil {
		t.Fatal(err)
	}
	s.groups = group.New(s.meta, group.Options{Logger: s.log})
	s.store, err = answer.Open(t.Context(), answer.Options{Retention: time.Hour, Logger: s.log,
		Groups: func(ctx context.Context, account trace.Account) ([]answer.GroupVersion, error) {
			select {
			case <-asked: // only the first request waits
				return s.groupVersions(ctx, account)
			default:
			}
			close(asked)
			<-goOn
			versions, err := s.groupVersions(ctx, account)
			told <- err
			return versions, err
		}}, func(rules store.Rules) (store.Shelf, error) {
		return local.Open(local.Options{Dir: t.TempDir(), Rules: rules, SettleAfter: 100 * time.Millisecond, Logger: s.log})
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	segments, refusal := decode.Document(fmt.Appendf(nil, `{"trace_id":"1-%08x-000000000000000000000001","id":"0000000000000001","name":"a","start_time":%d,"end_time":%d}`, now.Unix(), now.Unix()-1, now.Unix()), trace.Time(now.UnixNano()))
	if refusal != nil {
		t.Fatal(refusal)
	}
	if _, err := s.store.Append(t.Context(), "000000000000", segments); err != nil {
		t.Fatal(err)
	}
	<-asked
	closed := make(chan error, 1)
	go func() { closed <- s.close() }()
	time.Sleep(200 * time.Millisecond) // time enough to close the records, if they closed first
	close(goOn)
	if err := <-told; err != nil {
		t.Errorf("the groups, asked while the store closes: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
