package quota

import "time"

// bucket is a token bucket that may be in debt.
type bucket struct {
	tokens float64
	rate   int64
	at     time.Time
}

// fill adds the tokens of the time since the last call. A new bucket, and one whose rate
// has changed, is full.
func (b *bucket) fill(rate int64, now time.Time) {
	full := float64(rate) * burst.Seconds()
	if b.rate != rate {
		*b = bucket{tokens: full, rate: rate, at: now}
		return
	}
	b.tokens = min(full, b.tokens+now.Sub(b.at).Seconds()*float64(rate))
	b.at = now
}

// wait returns how long it takes until the bucket holds something; 0 if it does now or
// if there is no limit.
func (b *bucket) wait(rate int64, now time.Time) time.Duration {
	if rate == 0 {
		return 0
	}
	if b.fill(rate, now); b.tokens > 0 {
		return 0
	}
	return time.Duration(-b.tokens/float64(rate)*float64(time.Second)) + time.Millisecond
}

// take removes n tokens, and makes debts if there are not enough.
func (b *bucket) take(rate, n int64, now time.Time) {
	if rate == 0 {
		return
	}
	b.fill(rate, now)
	b.tokens -= float64(n)
}
