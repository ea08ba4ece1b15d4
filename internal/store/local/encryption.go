package local

import (
	"cmp"
	"slices"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The gauges of encryption in Status.
const (
	GaugeSealedBlocks = "encrypted_blocks"
	GaugeToConvert    = "blocks_to_convert"
	GaugeShredded     = "shredded_batches"
)

// reportKeys adds encryption to a status: accounts whose key is away, and how many blocks
// and log files are still to be written anew after a switch.
func (s *Shelf) reportKeys(st *store.Status) {
	if !s.base.vault.on {
		return
	}
	for account, err := range s.base.vault.absentees() {
		st.Locked = append(st.Locked, store.Locked{Account: account, Reason: err.Error()})
	}
	slices.SortFunc(st.Locked, func(a, b store.Locked) int { return cmp.Compare(a.Account, b.Account) })
	p := s.merger.policies()
	var encrypted, todo int64
	s.state.catalog.each(func(b *sealed) {
		if b.id != 0 {
			encrypted++
		}
		if !p.away(b) && p.converts(b, s.base.vault.clearTables) {
			todo++
		}
	})
	clear, sealedFiles := s.log.files.Clear()
	if key, err := s.base.vault.systemKey(); err == nil && key != nil {
		todo += int64(clear)
	} else if err == nil {
		todo += int64(sealedFiles)
	}
	s.base.vault.mu.Lock()
	lost := s.base.vault.lost
	s.base.vault.mu.Unlock()
	st.Gauges = append(st.Gauges,
		store.Gauge{Name: GaugeSealedBlocks, Help: gaugeHelp[GaugeSealedBlocks], Value: encrypted},
		store.Gauge{Name: GaugeToConvert, Help: gaugeHelp[GaugeToConvert], Value: todo},
		store.Gauge{Name: GaugeShredded, Help: gaugeHelp[GaugeShredded], Value: lost})
}

// lateStatus is the status of a shelf that waits for its key. It has every gauge, as
// metrics list them once.
func (s *Shelf) lateStatus(err error) store.Status {
	st := store.Status{ReadOnly: err.Error(), Locked: []store.Locked{{Account: seal.System, Reason: err.Error()}}}
	for _, name := range []string{GaugeOpenTraces, GaugeBlocks, GaugeBlockBytes, GaugeLogBytes, GaugeSealedBlocks, GaugeToConvert, GaugeShredded} {
		st.Gauges = append(st.Gauges, store.Gauge{Name: name, Help: gaugeHelp[name]})
	}
	return st
}

// gaugeHelp explains the gauges.
var gaugeHelp = map[string]string{
	GaugeOpenTraces:   "Traces still in memory.",
	GaugeBlocks:       "Blocks of settled traces on disk.",
	GaugeBlockBytes:   "Bytes of settled traces on disk.",
	GaugeLogBytes:     "Bytes of the write-ahead log on disk.",
	GaugeSealedBlocks: "Blocks that are encrypted.",
	GaugeToConvert:    "Blocks and log files that are not yet as --encryption asks for.",
	GaugeShredded:     "Batches in the log that were dropped because their key was destroyed.",
}

// KeysInUse lists the ids of the data keys that some file needs, by account. Other keys
// can be forgotten. seal.System owns the files of no single account.
func (s *Shelf) KeysInUse() (map[trace.Account][]uint32, error) {
	if err := s.usable(s.base.closing); err != nil {
		return nil, err
	}
	all := map[trace.Account][]uint32{}
	add := func(use dataKey) {
		if use.id != 0 && !slices.Contains(all[use.account], use.id) {
			all[use.account] = append(all[use.account], use.id)
		}
	}
	// A file that is replaced or written meanwhile has the newest key.
	for _, name := range []string{manifestName, tombstonesName, floorName} {
		use, err := s.base.vault.headerUse(name)
		if err != nil {
			return nil, err
		}
		add(use)
	}
	s.base.vault.mu.Lock()
	if k := s.base.vault.system; k != nil {
		add(dataKey{seal.System, k.ID()})
	}
	s.base.vault.mu.Unlock()
	for use := range s.log.files.Keys() {
		add(dataKey{trace.Account(use.Account), use.Key})
	}
	s.state.catalog.each(func(b *sealed) { add(b.dataKey) })
	for _, l := range s.state.catalog.lockedNow() {
		add(l.dataKey)
	}
	for account := range all {
		slices.Sort(all[account])
	}
	return all, nil
}
