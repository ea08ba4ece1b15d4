package local

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func segmentsOf(records []block.Record) (batch []*trace.Segment) {
	for _, r := range records {
		raw := append([]byte{}, r.Raw...) // one without bytes may be nil or not
		batch = append(batch, &trace.Segment{TraceID: r.TraceID, Source: r.Source, Part: r.Part, ReceivedAt: r.ReceivedAt, Scope: r.Scope, Raw: raw})
	}
	return batch
}

// An entry of the log that holds arbitrary bytes: it is a batch, a deletion or an
// error, never two of them, and what was read is read again from what it encodes to.
// Its parts take no more memory than the entry has bytes.
func FuzzBatch(f *testing.F) {
	scope := &trace.OTLPScope{Resource: []byte("resource"), Scope: []byte("scope"), ResourceSchema: "a", ScopeSchema: "b"}
	var e block.Encoder
	good := bytes.Clone(encodeBatch(&e, "000000000000", []*trace.Segment{
		{TraceID: trace.ID{1}, Source: trace.SourceDocument, ReceivedAt: 5e18, Raw: []byte(`{"id":"1"}`)},
		{TraceID: trace.ID{2}, Source: trace.SourceOTLP, ReceivedAt: 5e18 + 1, Scope: scope, Raw: []byte("span")},
		{TraceID: trace.ID{2}, Source: trace.SourceOTLP, Part: 1, ReceivedAt: 5e18 + 1, Scope: scope, Raw: []byte("span")},
	}))
	f.Add(good)
	f.Add(good[:len(good)-4])
	f.Add(bytes.Replace(good, []byte("000000000000\x03"), []byte("000000000000\x02"), 1))
	f.Add(bytes.Replace(good, []byte("000000000000\x03"), []byte("000000000000\x7f"), 1))
	f.Add(bytes.Clone(encodeBatch(&e, "", nil)))
	for _, del := range []*deletion{{ids: []trace.ID{{1}, {2}}, at: 7}, {ids: []trace.ID{{1}}, upTo: []uint64{9}, at: 7}} {
		b := encodeDeletion("000000000000", del)
		f.Add(bytes.Clone(b))
		f.Add(bytes.Clone(b[:len(b)-2]))
	}
	replacement := encodeReplacement("000000000000", 7, []*trace.Segment{{TraceID: trace.ID{2}, Source: trace.SourceOTLP, ReceivedAt: 5e18 + 1, Scope: scope, Raw: []byte("span")}})
	f.Add(bytes.Clone(replacement))
	f.Add(bytes.Clone(replacement[:len(replacement)-3]))
	f.Fuzz(func(t *testing.T, b []byte) {
		account, records, err := decodeBatch(b)
		if owner, at, list, ok := decodeReplacement(b); ok {
			if _, _, deletes := decodeDeletion(b); deletes || err == nil {
				t.Fatalf("it is a replacement, and a deletion: %v, or a batch: %v", deletes, err)
			}
			again, then, back, ok := decodeReplacement(encodeReplacement(owner, at, segmentsOf(list)))
			if !ok || again != owner || then != at || !reflect.DeepEqual(segmentsOf(back), segmentsOf(list)) {
				t.Fatalf("encoded again it is %+v of account %q, want %+v", back, again, list)
			}
			return
		}
		if err == nil && len(records) > 0 {
			if len(account)+len(records)*len(trace.ID{}) > len(b) {
				t.Fatalf("%d records in %d bytes", len(records), len(b))
			}
			var e block.Encoder
			again, back, err := decodeBatch(encodeBatch(&e, account, segmentsOf(records)))
			if err != nil || again != account || !reflect.DeepEqual(segmentsOf(back), segmentsOf(records)) {
				t.Fatalf("encoded again it is of account %q, %v:\n%+v\nwant\n%+v", again, err, back, records)
			}
		}
		account, del, ok := decodeDeletion(b)
		if !ok {
			return
		}
		if len(records) > 0 {
			t.Fatalf("it is a batch of %d records and a deletion of %d traces", len(records), len(del.ids))
		}
		if len(del.ids) == 0 || len(del.ids)*len(trace.ID{}) > len(b) || del.upTo != nil && len(del.upTo) != len(del.ids) {
			t.Fatalf("a deletion of %d ids, %d LSNs, in %d bytes", len(del.ids), len(del.upTo), len(b))
		}
		if same, again, ok := decodeDeletion(encodeDeletion(account, del)); !ok || same != account || !reflect.DeepEqual(again, del) {
			t.Fatalf("encoded again it is %+v of account %q, want %+v", again, same, del)
		}
	})
}
