package decode

import (
	"math/big"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// seconds reads epoch seconds to the nanosecond and cuts further digits. It parses the
// decimal text, because a float64 of today's epoch has a precision of 200 ns. It is
// false for times that trace.Time cannot hold.
func seconds(v jsonscan.Value) (trace.Time, bool) {
	const maxWhole = 9_223_372_035 // larger ones may overflow with their fraction
	i, negative := 0, v[0] == '-'
	if negative {
		i++
	}
	var whole, frac int64
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
		if whole = whole*10 + int64(v[i]-'0'); whole > maxWhole {
			return exactSeconds(v)
		}
	}
	if i < len(v) && v[i] == '.' {
		scale := int64(100_000_000)
		for i++; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
			frac += int64(v[i]-'0') * scale
			scale /= 10
		}
	}
	if i < len(v) { // an exponent
		return exactSeconds(v)
	}
	t := trace.Time(whole*1e9 + frac)
	if negative {
		t = -t
	}
	return t, true
}

// exactSeconds is seconds for rare notations.
func exactSeconds(v jsonscan.Value) (trace.Time, bool) {
	if f, ok := v.Float(); !ok || f > 1e10 || f < -1e10 {
		return 0, false
	} else if f > -1e-9 && f < 1e-9 {
		return 0, true // exponents of millions would make the arithmetic below slow
	}
	r, ok := new(big.Rat).SetString(string(v))
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(1e9, 1))
	n := new(big.Int).Quo(r.Num(), r.Denom())
	return trace.Time(n.Int64()), n.IsInt64()
}
