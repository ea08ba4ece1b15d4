package block

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
)

// derived are the columns that are only for others to read.
var derived = [columns]bool{columnAccount: true, columnService: true, columnKind: true, columnOrigin: true, columnInProgress: true, columnFault: true, columnError: true, columnThrottle: true}

// readRows reads rows of a row group, all columns or only those that received
// bytes are made of. They share memory with each other, but not with the group.
func readRows(places *columnar.Places, group []byte, decoder *zstd.Decoder, first, n int, all bool) ([]row, error) {
	from, err := entities.NewReader(places, group, decoder)
	if err != nil {
		return nil, err
	}
	if first < 0 || n < 0 || first+n > places.Rows() {
		return nil, fmt.Errorf("rows %d to %d of %d", first, first+n, places.Rows())
	}
	x := reader{from: from, rows: make([]row, n)}
	x.first, x.last, x.skip = from.Pages(first, first+n)
	x.skip = first - x.skip
	for column := range columns {
		if !all && derived[column] {
			continue
		}
		if err := x.column(column); err != nil {
			return nil, err
		}
	}
	return x.rows, nil
}

// reader fills rows.
type reader struct {
	from        *columnar.Reader
	rows        []row
	first, last int // pages
	skip        int // rows of the first page
	values      columnar.Values
}

func (x *reader) column(c int) error {
	if err := x.from.Read(c, x.first, x.last, &x.values); err != nil {
		return err
	}
	switch c {
	case columnAccount:
		return x.texts(func(r *row, b []byte) { r.Account = stringOf(b) })
	case columnTraceID:
		return x.texts(func(r *row, b []byte) { copy(r.TraceID[:], b) })
	case columnSpanID:
		return x.texts(func(r *row, b []byte) { copy(r.SpanID[:], b) })
	case columnParent:
		return x.ints(func(r *row, n int64) { r.Parent = int32(n) })
	case columnParentEntity:
		return x.ints(func(r *row, n int64) { r.ParentEntity = int32(n) })
	case columnParentID:
		return x.texts(func(r *row, b []byte) { r.ParentID = b })
	case columnSource:
		return x.ints(func(r *row, n int64) { r.Source = int32(n) })
	case columnPart:
		return x.ints(func(r *row, n int64) { r.Part = int32(n) })
	case columnService:
		return x.texts(func(r *row, b []byte) { r.Service = stringOf(b) })
	case columnName:
		return x.texts(func(r *row, b []byte) { r.Name = stringOf(b) })
	case columnKind:
		return x.ints(func(r *row, n int64) { r.Kind = int32(n) })
	case columnOrigin:
		return x.texts(func(r *row, b []byte) { r.Origin = stringOf(b) })
	case columnStart:
		return x.ints(func(r *row, n int64) { r.Start = n })
	case columnDuration:
		return x.ints(func(r *row, n int64) { r.Duration = n })
	case columnReceived:
		return x.ints(func(r *row, n int64) { r.Received = n })
	case columnInProgress:
		return x.ints(func(r *row, n int64) { r.InProgress = n != 0 })
	case columnFault:
		return x.ints(func(r *row, n int64) { r.Fault = n != 0 })
	case columnError:
		return x.ints(func(r *row, n int64) { r.Error = n != 0 })
	case columnThrottle:
		return x.ints(func(r *row, n int64) { r.Throttle = n != 0 })
	case columnMethod:
		return x.texts(func(r *row, b []byte) { r.Method = stringOf(b) })
	case columnURL:
		return x.texts(func(r *row, b []byte) { r.URL = stringOf(b) })
	case columnRoute:
		return x.texts(func(r *row, b []byte) { r.Route = stringOf(b) })
	case columnStatus:
		return x.ints(func(r *row, n int64) { r.Status = int32(n) })
	case columnUser:
		return x.texts(func(r *row, b []byte) { r.User = stringOf(b) })
	case columnKey:
		return x.keys()
	case columnValue:
		return x.attributes()
	case columnScope:
		return x.texts(func(r *row, b []byte) { r.Scope = b })
	case columnTemplate:
		return x.lists(func(r *row) *[][]byte { return &r.Template })
	case columnIDs:
		return x.texts(func(r *row, b []byte) { r.IDs = b })
	case columnTimes:
		return x.texts(func(r *row, b []byte) { r.Times = b })
	case columnRest:
		return x.lists(func(r *row) *[][]byte { return &r.Rest })
	default:
		return x.texts(func(r *row, b []byte) { r.Raw = b })
	}
}

func short(have, want int) error { return fmt.Errorf("%d rows in place of %d", have, want) }

func (x *reader) ints(set func(*row, int64)) error {
	if v := x.values.Ints; len(v) < x.skip+len(x.rows) {
		return short(len(v), x.skip+len(x.rows))
	}
	for i, n := range x.values.Ints[x.skip : x.skip+len(x.rows)] {
		set(&x.rows[i], n)
	}
	return nil
}

// texts fills a column of texts, which may be missing.
func (x *reader) texts(set func(*row, []byte)) error {
	v := &x.values
	if v.Def == nil {
		n := len(v.Texts)
		if v.Index != nil {
			n = len(v.Index)
		}
		if n < x.skip+len(x.rows) {
			return short(n, x.skip+len(x.rows))
		}
		for i := range x.rows {
			set(&x.rows[i], v.Text(x.skip+i))
		}
		return nil
	}
	if len(v.Def) < x.skip+len(x.rows) {
		return short(len(v.Def), x.skip+len(x.rows))
	}
	value := 0
	for i, d := range v.Def[:x.skip+len(x.rows)] {
		if d == 0 {
			continue
		}
		if i >= x.skip {
			set(&x.rows[i-x.skip], v.Text(value))
		}
		value++
	}
	return nil
}

// slots goes through the elements of lists of the wanted rows, each with the
// number of its row, its place in the list and its number among all values.
func (x *reader) slots(visit func(row, place, value int) error) error {
	v := &x.values
	if len(v.Rep) != len(v.Def) {
		return short(len(v.Rep), len(v.Def))
	}
	at, place, value := -1, 0, 0
	for i, rep := range v.Rep {
		if rep == 0 {
			if at, place = at+1, 0; at == x.skip+len(x.rows) {
				return nil
			}
		}
		if v.Def[i] == 0 {
			continue
		}
		if at < 0 {
			return errTemplate
		}
		if at >= x.skip {
			if err := visit(at-x.skip, place, value); err != nil {
				return err
			}
		}
		place, value = place+1, value+1
	}
	if at+1 < x.skip+len(x.rows) {
		return short(at+1, x.skip+len(x.rows))
	}
	return nil
}

// count is how many elements the lists of the wanted rows have.
func (x *reader) count() (n int, err error) {
	err = x.slots(func(int, int, int) error { n++; return nil })
	return n, err
}

// lists makes lists, which lie in one piece of memory.
func (x *reader) lists(of func(*row) *[][]byte) error {
	n, err := x.count()
	if err != nil {
		return err
	}
	all := make([][]byte, 0, n)
	return x.slots(func(at, place, value int) error {
		all = append(all, x.values.Text(value))
		*of(&x.rows[at]) = all[len(all)-1-place : len(all) : len(all)]
		return nil
	})
}

// keys makes the lists of attributes, in the same way.
func (x *reader) keys() error {
	n, err := x.count()
	if err != nil {
		return err
	}
	all := make([]pair, 0, n)
	return x.slots(func(at, place, value int) error {
		all = append(all, pair{Key: stringOf(x.values.Text(value))})
		x.rows[at].Attributes = all[len(all)-1-place : len(all) : len(all)]
		return nil
	})
}

func (x *reader) attributes() error {
	return x.slots(func(at, place, value int) error {
		if place >= len(x.rows[at].Attributes) {
			return errTemplate
		}
		x.rows[at].Attributes[place].Value = stringOf(x.values.Text(value))
		return nil
	})
}
