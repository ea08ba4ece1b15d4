package local

import (
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxKeys bounds the keys that are counted, of all accounts together.
const maxKeys = 50_000

// maxNamed bounds the keys over their budget that Status names.
const maxNamed = 20

// keys counts the keys of annotations and attributes and their distinct values, by
// account, as traces settle. A key over its budget has one token in the place of those
// of its values: a question for it reads all traces that have the key. Counting begins
// anew when the shelf is opened.
type keys struct {
	mu           sync.Mutex
	keys, values int // the budgets
	accounts     map[trace.Account]map[uint32]*keyUse
	count        int
	beyond       int64 // traces with a key that is not counted
	over         []store.OverBudget
}

// keyUse estimates how many values a key has: a HyperLogLog sketch (Flajolet et al.
// 2007), with an error of some 7 %.
type keyUse struct {
	name  string
	ranks [registers]uint8
	sum   float64 // of 2 to the power of minus each rank
	zeros int     // ranks that are 0
	over  bool
}

const (
	registers = 256
	// maxName bounds how much of a key's name Status shows.
	maxName = 200
)

func newKeys(keysLimit, valuesLimit int) *keys {
	return &keys{keys: keysLimit, values: valuesLimit, accounts: map[trace.Account]map[uint32]*keyUse{}}
}

// of returns the counts of an account by the token of the key: two keys with the same
// token are counted as one. The mutex is held.
func (k *keys) of(account trace.Account) map[uint32]*keyUse { return k.accounts[account] }

// add makes the count of a key; nil if there is no room. The mutex is held.
func (k *keys) add(account trace.Account, key string, number uint32) *keyUse {
	of := k.accounts[account]
	if len(of) >= k.keys || k.count >= maxKeys {
		return nil
	}
	if of == nil {
		of = map[uint32]*keyUse{}
		k.accounts[account] = of
	}
	// A clone: the key is a part of the memory of a whole request.
	u := &keyUse{name: strings.Clone(key[:min(len(key), maxName)]), sum: registers, zeros: registers}
	of[number] = u
	k.count++
	return u
}

// exceed notes that a key has more values than its budget. The mutex is held.
func (k *keys) exceed(account trace.Account, u *keyUse) {
	u.over = true
	if len(k.over) < maxNamed {
		k.over = append(k.over, store.OverBudget{Account: account, Key: u.name})
	}
}

// see counts a value by its token, and returns about how many there are; 0 if that did
// not change.
func (u *keyUse) see(token uint32) float64 {
	h := uint64(token) * 0x9e3779b97f4a7c15 // splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	at, rank := h%registers, uint8(bits.LeadingZeros64(h)+1)
	old := u.ranks[at]
	if rank <= old {
		return 0
	}
	if old == 0 {
		u.zeros--
	}
	u.ranks[at] = rank
	u.sum += math.Ldexp(1, -int(rank)) - math.Ldexp(1, -int(old))
	return u.estimate()
}

func (u *keyUse) estimate() float64 {
	const m = float64(registers)
	e := 0.7213 / (1 + 1.079/m) * m * m / u.sum
	if e <= 2.5*m && u.zeros > 0 {
		return m * math.Log(m/float64(u.zeros))
	}
	return e
}

// stats returns how many keys there are and which are over their budget.
func (k *keys) stats() store.KeyStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return store.KeyStatus{Keys: k.count, TracesBeyond: k.beyond, Over: slices.Clone(k.over)}
}
