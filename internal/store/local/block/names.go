package block

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// An index has each name of a service and each key of an annotation once. Senders can
// make any number of them, so the index bounds it: further names share some buckets by a
// checksum. A question for a name in a bucket reads the traces of all names in the
// bucket: it may read false positives, and misses nothing.
const (
	maxNames     = 4096
	maxNameBytes = 512 << 10
	// buckets is how many buckets the further names share.
	buckets = 4096
	// bucketMark begins the name of a bucket. A sender's name that begins so goes into a
	// bucket.
	bucketMark = "\x00other\x00"
	// othersName stands for a bucket in the table of traces.
	othersName = "other services"
)

// bucketOf returns the bucket of a name.
func bucketOf(name string) string {
	if isBucket(name) {
		return name
	}
	return fmt.Sprintf("%s%03x", bucketMark, crc32.Checksum([]byte(name), castagnoli())%buckets)
}

func isBucket(name string) bool {
	return len(name) == len(bucketMark)+3 && strings.HasPrefix(name, bucketMark)
}

// numbersOf returns the numbers that a name has in sets: its own, that of its bucket, or
// both; nil if no set has it.
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
