package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestMemory_isAQuarterOfTheLeast(t *testing.T) {
	for name, c := range map[string]struct {
		set   int64
		files map[string]string
		want  int64
	}{
		"as set":           {96 << 20, map[string]string{"/proc/meminfo": "MemTotal: 8388608 kB\n"}, 96 << 20},
		"of the machine":   {0, map[string]string{"/proc/meminfo": "MemFree: 1 kB\nMemTotal: 4194304 kB\n", "/sys/fs/cgroup/memory.max": "max\n"}, 1 << 30},
		"of the group":     {0, map[string]string{"/proc/meminfo": "MemTotal: 4194304 kB\n", "/sys/fs/cgroup/memory.max": "1073741824\n"}, 256 << 20},
		"of a small group": {0, map[string]string{"/sys/fs/cgroup/memory.max": "67108864\n"}, 128 << 20},
		"of an old group":  {0, map[string]string{"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 256 << 20},
		"at most 2 GB":     {0, map[string]string{"/proc/meminfo": "MemTotal: 67108864 kB\n"}, 2 << 30},
		"not known":        {0, nil, 2 << 30},
	} {
		got := memory(c.set, func(name string) ([]byte, error) {
			if text, ok := c.files[name]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestTuner_keepsTheHeapAtItsGoal(t *testing.T) {
	tuner := &tuner{goal: 400 << 20}
	for live, want := range map[int64]int{0: 150, 100 << 20: 150, 200 << 20: 100, 250 << 20: 60, 390 << 20: 50, 1 << 40: 50} {
		if got := tuner.fitting(live); got != want {
			t.Errorf("with %d MB in use: %d %%, want %d", live>>20, got, want)
		}
	}
}

// After each collection, the goal follows the memory in use.
func TestTune_followsWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	tune(1) // less than is in use: as little garbage as possible
	now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		if metrics.Read(now); now[0].Value.Uint64() == leastGarbage {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %% after many collections, want %d", now[0].Value.Uint64(), leastGarbage)
		}
	}
}
