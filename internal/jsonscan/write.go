package jsonscan

import (
	"math"
	"slices"
	"strconv"
)

// AppendFloat appends a number. NaN and infinities, which JSON does not have,
// become strings, as in protobuf's JSON form.
func AppendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	case f != 0 && (math.Abs(f) < 1e-6 || math.Abs(f) >= 1e21):
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// Separate appends a comma unless b ends where an array or object opens.
func Separate(b []byte) []byte {
	if c := b[len(b)-1]; c == '[' || c == '{' {
		return b
	}
	return append(b, ',')
}

// Writer appends JSON to Text, which must begin with an opened object or array.
// The caller closes what it opens. Names of members are written as they are: they
// must not need escapes.
type Writer struct{ Text []byte }

// Open opens a member that is an object.
func (w *Writer) Open(name string) {
	w.Name(name)
	w.Text = append(w.Text, '{')
}

// Close closes an object.
func (w *Writer) Close() { w.Text = append(w.Text, '}') }

// OpenList opens a member that is an array.
func (w *Writer) OpenList(name string) {
	w.Name(name)
	w.Text = append(w.Text, '[')
}

// CloseList closes an array.
func (w *Writer) CloseList() { w.Text = append(w.Text, ']') }

// Element opens an object in an array.
func (w *Writer) Element() { w.Text = append(Separate(w.Text), '{') }

// Name appends the name of a member, whose value must follow.
func (w *Writer) Name(name string) {
	w.Text = append(Separate(w.Text), '"')
	w.Text = append(w.Text, name...)
	w.Text = append(w.Text, '"', ':')
}

// String appends a member that is a string.
func (w *Writer) String(name, s string) {
	w.Name(name)
	w.Text = AppendString(w.Text, s)
}

// Some appends a string member unless s is empty.
func (w *Writer) Some(name, s string) {
	if s != "" {
		w.String(name, s)
	}
}

// OrNull appends a string member, null if s is empty.
func (w *Writer) OrNull(name, s string) {
	if s == "" {
		w.Name(name)
		w.Text = append(w.Text, "null"...)
		return
	}
	w.String(name, s)
}

// Bool appends a member that is true or false.
func (w *Writer) Bool(name string, v bool) {
	w.Name(name)
	w.Text = strconv.AppendBool(w.Text, v)
}

// Int appends a member that is an integer.
func (w *Writer) Int(name string, v int64) {
	w.Name(name)
	w.Text = strconv.AppendInt(w.Text, v, 10)
}

// Members collects the members of an object, in order. Of members with the same
// name the last counts. The zero value is empty.
type Members struct {
	names  []string
	values [][]byte
	buffer []byte
	at     map[string]int // position by name, once there are manyMembers
}

// manyMembers is the number of members from which on Members looks names up in a
// map.
const manyMembers = 24

// Buffer returns memory for the next value: append the value and pass the result to
// Add.
func (m *Members) Buffer() []byte { return m.buffer }

// Add sets a member to the value that was appended to Buffer.
func (m *Members) Add(name string, appended []byte) {
	start := len(m.buffer)
	m.buffer = appended
	m.Set(name, appended[start:len(appended):len(appended)])
}

// Set sets a member to a JSON value; it keeps the slice.
func (m *Members) Set(name string, value []byte) {
	if i := m.find(name); i >= 0 {
		m.values[i] = value
		return
	}
	if m.at != nil {
		m.at[name] = len(m.names)
	}
	m.names, m.values = append(m.names, name), append(m.values, value)
}

// Len returns the number of members.
func (m *Members) Len() int { return len(m.names) }

// At returns the i-th member.
func (m *Members) At(i int) (name string, value []byte) { return m.names[i], m.values[i] }

// Has tells whether a member has this name.
func (m *Members) Has(name string) bool { return m.find(name) >= 0 }

// find returns the position of a member, -1 if there is none.
func (m *Members) find(name string) int {
	if len(m.names) < manyMembers {
		return slices.Index(m.names, name)
	}
	if m.at == nil {
		m.at = make(map[string]int, 2*len(m.names))
		for i, n := range m.names {
			m.at[n] = i
		}
	}
	if i, ok := m.at[name]; ok {
		return i
	}
	return -1
}

// Append appends the members as a JSON object.
func (m *Members) Append(b []byte) []byte {
	b = append(b, '{')
	for i, name := range m.names {
		b = AppendString(Separate(b), name)
		b = append(append(b, ':'), m.values[i]...)
	}
	return append(b, '}')
}
