package rollup

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unsafe"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// sampled returns the counted links, in order: all, or those with the lowest hashes.
// A link with a negative count was not in the sample of a source.
func (p *page) sampled() []linkPlace {
	list := slices.Collect(maps.Keys(p.links))
	list = slices.DeleteFunc(list, func(l linkPlace) bool { return p.links[l] <= 0 })
	if most := p.limit.Links(); most > 0 && len(list) > most {
		slices.SortFunc(list, func(a, b linkPlace) int { return cmp.Compare(a.key.Hash(), b.key.Hash()) })
		list = list[:most]
	}
	slices.SortFunc(list, compareLinks)
	return list
}

// encode writes a page (docs/format/store.md); start is its first second. It omits
// counts of zero. An empty page has no bytes.
func (p *page) encode(b []byte, n *names, start int64) []byte {
	empty := len(b)
	var parts []int32
	for part, count := range p.entities {
		if count != 0 {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, part := range parts {
		b = binary.AppendUvarint(b, uint64(part))
		b = binary.AppendUvarint(b, uint64(p.entities[part]))
	}
	nodes := kept(p.nodes, func(s *assemble.NodeSum) bool { return !s.Empty() })
	b = appendPlaces(b, nodes, func(b []byte, at place) []byte { return appendNode(b, p.nodes[at], start) })
	edges := kept(p.edges, func(s *assemble.EdgeSum) bool { return s.Seen != 0 })
	b = appendPlaces(b, edges, func(b []byte, at place) []byte { return appendEdge(b, p.edges[at], n) })
	list := p.sampled()
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, l := range list {
		b = binary.AppendUvarint(b, uint64(l.part))
		b = append(b, l.key.TraceID[:]...)
		b = append(b, l.key.ID[:]...)
		b = binary.AppendUvarint(b, uint64(n.node(l.key.Node)))
		b = binary.AppendVarint(b, int64(l.key.Time)-start*1e9)
		b = binary.AppendVarint(b, l.key.Second-start)
		b = binary.AppendUvarint(b, uint64(p.links[l]))
		if !l.key.Child {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = append(b, l.key.Sender.TraceID[:]...)
		b = append(b, l.key.Sender.ID[:]...)
	}
	if len(parts)+len(nodes)+len(edges)+len(list) == 0 {
		return b[:empty]
	}
	return b
}

func compareLinks(a, b linkPlace) int {
	return cmp.Or(cmp.Compare(a.part, b.part), slices.Compare(a.key.TraceID[:], b.key.TraceID[:]), slices.Compare(a.key.ID[:], b.key.ID[:]),
		cmp.Compare(a.key.Time, b.key.Time), cmp.Compare(a.key.Second, b.key.Second), compareNodes(a.key.Node, b.key.Node),
		slices.Compare(a.key.Sender.TraceID[:], b.key.Sender.TraceID[:]), slices.Compare(a.key.Sender.ID[:], b.key.Sender.ID[:]), compareBools(a.key.Child, b.key.Child))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// kept returns the places of the cells to keep, by number, then part.
func kept[T any](m map[place]*T, keep func(*T) bool) []place {
	list := make([]place, 0, len(m))
	for at, s := range m {
		if keep(s) {
			list = append(list, at)
		}
	}
	slices.SortFunc(list, func(a, b place) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.part, b.part)) })
	return list
}

// appendPlaces writes the number of places, and each one after its place, encoded as
// the difference from the previous place.
func appendPlaces(b []byte, list []place, one func([]byte, place) []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	var last place
	for _, at := range list {
		if at.number != last.number {
			last.part = 0
		}
		b = binary.AppendUvarint(b, uint64(at.number-last.number))
		b = binary.AppendUvarint(b, uint64(at.part-last.part))
		b = one(b, at)
		last = at
	}
	return b
}

func appendNode(b []byte, s *assemble.NodeSum, start int64) []byte {
	b = appendBins(b, s.Seconds.Bins(), start)
	b = binary.AppendUvarint(b, uint64(s.Roots))
	b = binary.AppendUvarint(b, uint64(s.Active))
	b = appendStatistics(b, &s.Statistics, &s.ResponseTimes)
	durations := s.Durations.Counts().Bins()
	if slices.Equal(durations, s.ResponseTimes.Counts().Bins()) {
		return append(b, 0)
	}
	return appendBins(append(b, 1), durations, 0)
}

func appendEdge(b []byte, s *assemble.EdgeSum, n *names) []byte {
	b = binary.AppendUvarint(b, uint64(s.Seen))
	b = appendStatistics(b, &s.Statistics, &s.ResponseTimes)
	b = binary.AppendUvarint(b, uint64(len(s.Aliases)))
	type alias struct {
		number uint32
		count  int64
	}
	var list []alias
	for a, count := range s.Aliases {
		list = append(list, alias{n.service(a), count})
	}
	slices.SortFunc(list, func(a, b alias) int { return cmp.Compare(a.number, b.number) })
	for _, a := range list {
		b = binary.AppendUvarint(b, uint64(a.number))
		b = binary.AppendUvarint(b, uint64(a.count))
	}
	return b
}

// appendStatistics writes a histogram and the values that cannot be computed from
// it: the numbers of errors, faults and throttles, and the rounding error of the
// sum.
func appendStatistics(b []byte, s *trace.Statistics, h *trace.Histogram) []byte {
	bins := h.Counts().Bins()
	b = appendBins(b, bins, 0)
	b = binary.AppendUvarint(b, uint64(s.Error))
	b = binary.AppendUvarint(b, uint64(s.Fault))
	b = binary.AppendUvarint(b, uint64(s.Throttle))
	return binary.AppendVarint(b, int64(s.TotalResponseTime-sumOf(bins)))
}

func sumOf(bins []trace.Bin) (sum time.Duration) {
	for _, bin := range bins {
		sum += time.Duration(bin.Key*bin.N) * time.Millisecond
	}
	return sum
}

// appendBins writes the number of bins, then for each bin the difference from the
// previous key, and the count.
func appendBins(b []byte, bins []trace.Bin, from int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(bins)))
	for _, bin := range bins {
		b = binary.AppendVarint(b, bin.Key-from)
		b = binary.AppendUvarint(b, uint64(bin.N))
		from = bin.Key
	}
	return b
}

// decoded is a decoded page. It is shared and immutable.
type decoded struct {
	start    int64
	step     int64
	entities []entityCell
	nodes    []nodeCell // by number, then part
	edges    []edgeCell
	links    []linkCell
	bytes    int64 // of memory, approximately
}

type entityCell struct {
	part int32
	n    int64
}

type nodeCell struct {
	place
	assemble.NodeSum
}

type edgeCell struct {
	place
	assemble.EdgeSum
}

type linkCell struct {
	part int32
	key  assemble.LinkKey
	n    int64
}

var errShort = errors.New("it ends early")

// reader reads numbers. After the first error, everything it returns is zero.
type reader struct {
	b    []byte
	err  error
	slab []trace.Bin // memory for the next bins
	made int64       // number of bins allocated
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) uvarint() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *reader) varint() int64 {
	n, w := binary.Varint(r.b)
	if w <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if uint64(len(r.b)) < n {
		r.fail(errShort)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }

// count reads the number of items that follow, of at least least bytes each.
func (r *reader) count(least uint64) int {
	n := r.uvarint()
	if n > uint64(len(r.b))/least {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

// below reads a number that must be below a limit.
func (r *reader) below(limit int) uint32 {
	n := r.uvarint()
	if n >= uint64(limit) {
		r.fail(fmt.Errorf("number %d of %d", n, limit))
		return 0
	}
	return uint32(n)
}

// slab is how many bins are allocated at once: a histogram has ten to a few hundred.
const slab = 1024

func (r *reader) bins(from int64) trace.Counts {
	n := r.count(2)
	if n == 0 {
		return trace.Counts{}
	}
	if n > len(r.slab) {
		r.slab = make([]trace.Bin, max(n, min(slab, len(r.b)/2)))
		r.made += int64(len(r.slab))
	}
	list := r.slab[:n:n]
	r.slab = r.slab[n:]
	for i := range list {
		step := r.varint()
		if i > 0 && step <= 0 {
			r.fail(errors.New("numbers do not ascend"))
		}
		from += step
		list[i] = trace.Bin{Key: from, N: int64(r.uvarint())}
		if list[i].N <= 0 {
			r.fail(errors.New("a count is not above 0"))
		}
	}
	if r.err != nil {
		return trace.Counts{}
	}
	return trace.CountsOf(list)
}

func (r *reader) statistics(s *trace.Statistics, h *trace.Histogram) {
	*h = trace.HistogramOf(r.bins(0))
	s.Error, s.Fault, s.Throttle = int64(r.uvarint()), int64(r.uvarint()), int64(r.uvarint())
	s.OK = h.Count() - s.Error - s.Fault - s.Throttle
	s.TotalResponseTime = sumOf(h.Counts().Bins()) + time.Duration(r.varint())
}

// place reads a place, encoded relative to the previous one.
func (r *reader) place(last place, limit int, parts int32) place {
	step := r.uvarint()
	if step > 0 {
		last.part = 0
	}
	at := uint64(last.number) + step
	part := int64(last.part) + int64(r.below(int(parts)))
	if at >= uint64(limit) || part >= int64(parts) {
		r.fail(fmt.Errorf("number %d of %d, part %d of %d", at, limit, part, parts))
		return place{}
	}
	return place{uint32(at), int32(part)}
}

// Memory of a page's cells, without their bins.
const (
	nodeBytes = int64(unsafe.Sizeof(nodeCell{}))
	edgeBytes = int64(unsafe.Sizeof(edgeCell{})) + 16
)

// decode reads the format of encode and validates every number.
func decode(b []byte, n *names, l level, start int64) (*decoded, error) {
	r := &reader{b: b}
	p := &decoded{start: start, step: l.step()}
	parts := int32(l.length() / l.step())
	p.entities = make([]entityCell, r.count(2))
	for i := range p.entities {
		p.entities[i] = entityCell{int32(r.below(int(parts))), int64(r.uvarint())}
	}
	p.nodes = make([]nodeCell, r.count(9))
	var last place
	for i := range p.nodes {
		c := &p.nodes[i]
		c.place = r.place(last, len(n.nodes), parts)
		c.Seconds = r.bins(start)
		c.Roots, c.Active = int64(r.uvarint()), int64(r.uvarint())
		r.statistics(&c.Statistics, &c.ResponseTimes)
		if r.below(2) == 1 {
			c.Durations = trace.HistogramOf(r.bins(0))
		} else {
			c.Durations = c.ResponseTimes
		}
		last = c.place
	}
	p.edges, last = make([]edgeCell, r.count(9)), place{}
	for i := range p.edges {
		c := &p.edges[i]
		c.place = r.place(last, len(n.edges), parts)
		c.Seen = int64(r.uvarint())
		r.statistics(&c.Statistics, &c.ResponseTimes)
		for range r.count(2) {
			if a := r.below(len(n.services)); r.err == nil {
				if c.Aliases == nil {
					c.Aliases = map[trace.Service]int64{}
				}
				c.Aliases[n.services[a]] = int64(r.uvarint())
			}
		}
		last = c.place
	}
	p.links = make([]linkCell, r.count(30))
	for i := range p.links {
		c := &p.links[i]
		c.part = int32(r.below(int(parts)))
		copy(c.key.TraceID[:], r.bytes(16))
		copy(c.key.ID[:], r.bytes(8))
		if number := r.below(len(n.nodes)); r.err == nil {
			c.key.Node = n.nodeKey(number)
		}
		c.key.Time, c.key.Second, c.n = trace.Time(r.varint()+start*1e9), r.varint()+start, int64(r.uvarint())
		if c.key.Child = r.below(2) == 1; c.key.Child {
			copy(c.key.Sender.TraceID[:], r.bytes(16))
			copy(c.key.Sender.ID[:], r.bytes(8))
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail(fmt.Errorf("%d bytes too many", len(r.b)))
	}
	p.bytes = r.made*16 + int64(len(p.nodes))*nodeBytes + int64(len(p.edges))*edgeBytes + int64(len(p.links))*190 + 1024
	return p, r.err
}
