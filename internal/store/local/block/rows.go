package block

import (
	"bytes"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
)

// derived are the columns that only other programs read.
var derived = [columns]bool{columnAccount: true, columnService: true, columnKind: true, columnOrigin: true, columnInProgress: true, columnFault: true, columnError: true, columnThrottle: true}

// pages are neighbouring, decompressed pages of a row group. They do not change, so many
// goroutines may use them.
type pages struct {
	first, rows int  // number of the first row in its group, and of rows
	all         bool // with the derived columns
	columns     [columns]column
	bytes       int64 // of memory, about
}

// column is a column of some pages.
type column struct {
	columnar.Values
	// begins, for lists, has the first slot of each row, and then the number of slots.
	begins []uint32
}

// rowRange asks for n rows of a row group: for all columns, or only for those that the
// received bytes consist of.
type rowRange struct {
	from, n int
	all     bool
}

// readPages reads the pages of a row group that hold the wanted rows.
func readPages(places *columnar.Places, group []byte, decoder *zstd.Decoder, want rowRange) (*pages, error) {
	r, err := entities.NewReader(places, group, decoder)
	if err != nil {
		return nil, err
	}
	to := want.from + want.n
	if want.from < 0 || want.n < 0 || to > places.Rows() {
		return nil, fmt.Errorf("rows %d to %d of %d", want.from, to, places.Rows())
	}
	p := &pages{all: want.all}
	first, last := r.Pages(want.from, to)
	p.first, p.rows = r.Rows(first), r.Rows(last)-r.Rows(first)
	for number := range columns {
		if !want.all && derived[number] {
			continue
		}
		c := &p.columns[number]
		if err := r.Read(number, first, last, &c.Values); err != nil {
			return nil, err
		}
		if err := c.check(p.rows); err != nil {
			return nil, fmt.Errorf("column %v: %w", entities.Path(number), err)
		}
		p.bytes += c.Bytes() + int64(4*len(c.begins))
	}
	return p, nil
}

// check checks the number of rows, and finds the begins of lists.
func (c *column) check(rows int) error {
	have := len(c.Def)
	switch {
	case c.Rep != nil:
		if len(c.Rep) != len(c.Def) {
			return fmt.Errorf("%d levels instead of %d", len(c.Rep), len(c.Def))
		}
		c.begins = make([]uint32, 0, rows+1)
		for i, level := range c.Rep {
			if level == 0 {
				c.begins = append(c.begins, uint32(i))
			} else if i == 0 {
				return errTemplate
			}
		}
		have = len(c.begins)
		c.begins = append(c.begins, uint32(len(c.Rep)))
	case c.Def == nil:
		have = c.Len()
	}
	if have != rows {
		return fmt.Errorf("%d rows instead of %d", have, rows)
	}
	c.Rep = nil // begins has it
	if c.Def != nil && bytes.Count(c.Def, present) == len(c.Def) {
		c.Def = nil
	}
	return nil
}

// valuesBefore returns the number of values before a slot.
func (c *column) valuesBefore(slot int) int {
	if c.Def == nil {
		return slot
	}
	return bytes.Count(c.Def[:slot], present)
}

var present = []byte{1}

// has tells whether the pages have some rows.
func (p *pages) has(from, n int, all bool) bool {
	return from >= p.first && from+n <= p.first+p.rows && (p.all || !all)
}

// take makes rows, by their number in the row group. They share memory with the pages.
func (p *pages) take(from, n int) ([]row, error) {
	if n == 0 {
		return nil, nil
	}
	x := taker{from: from - p.first, rows: make([]row, n)}
	for number := range columns {
		if derived[number] && !p.all {
			continue
		}
		x.column = &p.columns[number]
		if err := x.fill(number); err != nil {
			return nil, err
		}
	}
	return x.rows, nil
}

// taker fills rows.
type taker struct {
	*column
	from int
	rows []row
}

func (x *taker) fill(number int) error {
	switch number {
	case columnAccount:
		x.texts(func(r *row, b []byte) { r.Account = stringOf(b) })
	case columnTraceID:
		x.texts(func(r *row, b []byte) { copy(r.TraceID[:], b) })
	case columnSpanID:
		x.texts(func(r *row, b []byte) { copy(r.SpanID[:], b) })
	case columnParent:
		x.ints(func(r *row, n int64) { r.Parent = int32(n) })
	case columnParentEntity:
		x.ints(func(r *row, n int64) { r.ParentEntity = int32(n) })
	case columnParentID:
		x.texts(func(r *row, b []byte) { r.ParentID = b })
	case columnSource:
		x.ints(func(r *row, n int64) { r.Source = int32(n) })
	case columnPart:
		x.ints(func(r *row, n int64) { r.Part = int32(n) })
	case columnService:
		x.texts(func(r *row, b []byte) { r.Service = stringOf(b) })
	case columnName:
		x.texts(func(r *row, b []byte) { r.Name = stringOf(b) })
	case columnKind:
		x.ints(func(r *row, n int64) { r.Kind = int32(n) })
	case columnOrigin:
		x.texts(func(r *row, b []byte) { r.Origin = stringOf(b) })
	case columnStart:
		x.ints(func(r *row, n int64) { r.Start = n })
	case columnDuration:
		x.ints(func(r *row, n int64) { r.Duration = n })
	case columnReceived:
		x.ints(func(r *row, n int64) { r.Received = n })
	case columnInProgress:
		x.ints(func(r *row, n int64) { r.InProgress = n != 0 })
	case columnFault:
		x.ints(func(r *row, n int64) { r.Fault = n != 0 })
	case columnError:
		x.ints(func(r *row, n int64) { r.Error = n != 0 })
	case columnThrottle:
		x.ints(func(r *row, n int64) { r.Throttle = n != 0 })
	case columnMethod:
		x.texts(func(r *row, b []byte) { r.Method = stringOf(b) })
	case columnURL:
		x.texts(func(r *row, b []byte) { r.URL = stringOf(b) })
	case columnRoute:
		x.texts(func(r *row, b []byte) { r.Route = stringOf(b) })
	case columnStatus:
		x.ints(func(r *row, n int64) { r.Status = int32(n) })
	case columnUser:
		x.texts(func(r *row, b []byte) { r.User = stringOf(b) })
	case columnKey:
		x.keys()
	case columnValue:
		return x.attributes()
	case columnScope:
		x.texts(func(r *row, b []byte) { r.Scope = b })
	case columnTemplate:
		x.lists(func(r *row) *[][]byte { return &r.Template })
	case columnIDs:
		x.texts(func(r *row, b []byte) { r.IDs = b })
	case columnTimes:
		x.texts(func(r *row, b []byte) { r.Times = b })
	case columnRest:
		x.lists(func(r *row) *[][]byte { return &r.Rest })
	default:
		x.texts(func(r *row, b []byte) { r.Raw = b })
	}
	return nil
}

func (x *taker) ints(set func(*row, int64)) {
	for i, n := range x.Ints[x.from : x.from+len(x.rows)] {
		set(&x.rows[i], n)
	}
}

// texts fills a column of texts; some may be missing.
func (x *taker) texts(set func(*row, []byte)) {
	if x.Def == nil {
		for i := range x.rows {
			set(&x.rows[i], x.Text(x.from+i))
		}
		return
	}
	value := x.valuesBefore(x.from)
	for i, d := range x.Def[x.from : x.from+len(x.rows)] {
		if d != 0 {
			set(&x.rows[i], x.Text(value))
			value++
		}
	}
}

// elements yields the elements of the rows' lists: the row, and the number of the
// value.
func (x *taker) elements(visit func(r *row, value int)) {
	value := x.valuesBefore(int(x.begins[x.from]))
	for i := range x.rows {
		for slot := x.begins[x.from+i]; slot < x.begins[x.from+i+1]; slot++ {
			if x.Def == nil || x.Def[slot] != 0 {
				visit(&x.rows[i], value)
				value++
			}
		}
	}
}

// slots returns the most elements that the rows can have.
func (x *taker) slots() int { return int(x.begins[x.from+len(x.rows)] - x.begins[x.from]) }

// lists makes lists in one piece of memory.
func (x *taker) lists(of func(*row) *[][]byte) {
	all := make([][]byte, 0, x.slots())
	x.elements(func(r *row, value int) {
		all = append(all, x.Text(value))
		list := of(r)
		n := len(all)
		*list = all[n-1-len(*list) : n : n]
	})
}

// keys makes the lists of attributes, in the same way.
func (x *taker) keys() {
	all := make([]pair, 0, x.slots())
	x.elements(func(r *row, value int) {
		all = append(all, pair{Key: stringOf(x.Text(value))})
		n := len(all)
		r.Attributes = all[n-1-len(r.Attributes) : n : n]
	})
}

// attributes gives the attributes their values.
func (x *taker) attributes() (err error) {
	var last *row
	place := 0
	x.elements(func(r *row, value int) {
		if r != last {
			last, place = r, 0
		}
		if place >= len(r.Attributes) {
			err = errTemplate
			return
		}
		r.Attributes[place].Value = stringOf(x.Text(value))
		place++
	})
	return err
}
