package jsonscan_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

func TestWriter(t *testing.T) {
	w := jsonscan.Writer{Text: []byte{'{'}}
	w.String("a", "x\"\n")
	w.Some("none", "")
	w.OrNull("null", "")
	w.OrNull("text", "t")
	w.Bool("b", true)
	w.Int("i", -7)
	w.OpenList("list")
	w.Element()
	w.Close()
	w.Element()
	w.Int("n", 1)
	w.Close()
	w.CloseList()
	w.Open("object")
	w.Close()
	w.Close()
	const want = `{"a":"x\"\n","null":null,"text":"t","b":true,"i":-7,"list":[{},{"n":1}],"object":{}}`
	if string(w.Text) != want || jsonscan.Check(w.Text) != nil {
		t.Errorf("got  %s\nwant %s", w.Text, want)
	}
}

// If several members have one name the last counts, in the place of the first, however
// many there are.
func TestMembers(t *testing.T) {
	for _, n := range []int{1, 5, 23, 24, 25, 100} {
		var m jsonscan.Members
		for round := range 2 {
			for i := range n {
				m.Add(fmt.Sprint("k", i), fmt.Appendf(m.Buffer(), "%d", i+1000*round))
			}
		}
		m.Set("k0", []byte(`"set"`))
		want := `{"k0":"set"`
		for i := 1; i < n; i++ {
			want += fmt.Sprintf(`,"k%d":%d`, i, 1000+i)
		}
		if got := string(m.Append(nil)); got != want+"}" || m.Len() != n || !m.Has("k0") || m.Has("k") {
			t.Errorf("%d members: %s", n, got)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 1: "1", -0.5: "-0.5", 1e21: "1e+21", 1e20: "100000000000000000000", 1e-7: "1e-07", math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`} {
		if got := string(jsonscan.AppendFloat(nil, f)); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
	}
	if got := string(jsonscan.AppendFloat(nil, math.NaN())); got != `"NaN"` {
		t.Error(got)
	}
}
