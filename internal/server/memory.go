package server

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// most is what is taken by default, however large the machine.
const most = 2 << 30

// memory is the bytes the process may use: what is set, else a quarter of the
// machine's memory or of the control group's, whichever is less, at most 2 GB.
func memory(set int64, read func(name string) ([]byte, error)) int64 {
	if set > 0 {
		return set
	}
	least := int64(4 * most)
	// cgroup v2, v1: one number of bytes, or "max".
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := read(name); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
	}
	if b, err := read("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
				if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n > 0 {
					least = min(least, n<<10)
				}
			}
		}
	}
	return least / 4
}

// budget cuts the memory up. With 2 GB it is 256 MB for open traces, as much
// for requests in flight and 64 MB for the cache; the rest is for questions and
// for what the garbage collector needs.
type budget struct{ total, head, inFlight, cache, flush int64 }

func (s *server) budget() budget {
	total := memory(s.config.Memory, os.ReadFile)
	debug.SetMemoryLimit(total)
	return budget{total: total, head: total / 8, inFlight: total / 8, cache: total / 32, flush: total / 64}
}
