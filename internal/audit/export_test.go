package audit

import "time"

var fuzzSigner, _ = NewSigner()

// ParseAll reads a text as each kind of line and file of an audit directory.
func ParseAll(text []byte) {
	key := &PublicKey{&fuzzSigner.key.PublicKey}
	_, _ = parseHeader(text)
	_, _, _ = parseLine(text)
	_, _ = parseDigest("00000001_20261129T120000Z.json", text)
	_, _ = parseHead(text, key)
	_, _ = ParsePublicKey(text)
	_, _ = key.VerifyText(text)
	_ = Camel(text)
}

// Encode completes an event and returns its text.
func (e *Event) Encode() ([]byte, error) { return e.encode(time.Unix(1764417600, 0)) }
