package block

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// An index has the names of services and of annotations' keys once. Senders can make
// as many as they like, so it has a limited number of them; the others share some
// names by a checksum. A question for one of those looks at the traces of all names
// that share one, and reads those in vain that have another.
const (
	maxNames     = 4096
	maxNameBytes = 512 << 10
	// buckets is how many names the others share.
	buckets = 4096
	// bucketMark begins a name that others share. A name that a sender made so is one
	// of those who share it.
	bucketMark = "\x00other\x00"
	// othersName is what the table of traces shows in its place.
	othersName = "other services"
)

// bucketOf is the name that a name shares.
func bucketOf(name string) string {
	if isBucket(name) {
		return name
	}
	return fmt.Sprintf("%s%03x", bucketMark, crc32.Checksum([]byte(name), castagnoli())%buckets)
}

func isBucket(name string) bool {
	return len(name) == len(bucketMark)+3 && strings.HasPrefix(name, bucketMark)
}

// numbersOf are the numbers that a name has in sets: its own, that of those who share
// one, or both; nil if no set has it.
func (x *index) numbersOf(name string) (numbers []uint32) {
	for _, n := range []string{name, bucketOf(name)} {
		for i := range x.names {
			if x.names[i] == n { // an index of a faulty writer may have it twice
				numbers = append(numbers, uint32(i))
			}
		}
		if !x.shared || n == bucketOf(name) {
			break
		}
	}
	return numbers
}
