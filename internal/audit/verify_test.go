package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/seal"
)

// sound makes a directory with four log files of five records each. Without end, the
// process ended without closing it.
func sound(t testing.TB, k seal.Keys, end bool) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 4 {
		l := openLog(t, audit.Options{Dir: dir, Keys: k})
		write(t, l, numbered(10*i, 10*i+5)...)
		if i < 3 || end {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			waitForHead(t, dir, `"seq":20,`)
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			return copied
		}
	}
	return dir
}

func waitForHead(t testing.TB, dir, text string) {
	t.Helper()
	for range 1000 {
		if b, err := os.ReadFile(filepath.Join(dir, "head")); err == nil && strings.Contains(string(b), text) {
			return
		}
		sleep()
	}
	t.Fatal("the head was not signed")
}

func edit(t testing.TB, dir, name string, change func(string) string) {
	t.Helper()
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := change(string(b))
	if after == string(b) {
		t.Fatalf("%s was not changed", name)
	}
	if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
}

func lines(change func([]string) []string) func(string) string {
	return func(s string) string { return strings.Join(change(strings.SplitAfter(s, "\n")), "") }
}

func swap(i, j int) func([]string) []string {
	return func(l []string) []string {
		l[i], l[j] = l[j], l[i]
		return l
	}
}

func TestVerify_findsEachManipulation(t *testing.T) {
	const a, b, last = "00000001.jsonl", "00000002.jsonl", "00000004.jsonl"
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	change := func(name string, f func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { edit(t, dir, name, f) }
	}
	digests := func(dir string) []string {
		list, _ := filepath.Glob(filepath.Join(dir, "digests", "*.json"))
		slices.Sort(list)
		return list
	}
	originals := map[bool]string{true: sound(t, seal.Off{}, true), false: sound(t, seal.Off{}, false)}
	for _, c := range []struct {
		name, want string // a part of the first problem
		do         func(*testing.T, string)
	}{
		{"change a record", "00000002.jsonl: line 5: record 9 continues", change(b, func(s string) string { return strings.Replace(s, "Event12", "Event99", 1) })},
		{"change the last record", "record 20", change(last, func(s string) string { return strings.Replace(s, "Event34", "Event99", 1) })},
		{"delete a record", "00000001.jsonl: line 3: record 3 follows record 1: 1 records are missing", change(a, lines(func(l []string) []string { return slices.Delete(l, 2, 3) }))},
		{"swap two records", "00000001.jsonl: line 3: record 3 follows record 1", change(a, lines(swap(2, 3)))},
		{"repeat a record", "00000001.jsonl: line 4: record 2 stands where record 3", change(a, lines(func(l []string) []string { return slices.Insert(l, 3, l[2]) }))},
		{"cut the end", "00000004.jsonl: the log ends with record 18", change(last, lines(func(l []string) []string { return l[:4] }))},
		{"cut the end inside of a record", "00000004.jsonl: the log ends with record 19", change(last, func(s string) string { return s[:len(s)-9] })},
		{"cut the end of an earlier file", "00000003.jsonl: the file begins with record 11, but record 10 comes next", change(b, lines(func(l []string) []string { return l[:5] }))},
		{"add a record at the end", "", change(last, func(s string) string {
			l := strings.SplitAfter(s, "\n")
			return s + l[len(l)-2]
		})},
		{"change a header", "00000002.jsonl: line 2: record 6 continues after another header", change(b, func(s string) string { return strings.Replace(s, `"opened":"2`, `"opened":"3`, 1) })},
		{"delete the first file", "00000001.jsonl: the first file of the log is missing", remove(a)},
		{"delete a file", "00000002.jsonl: the file is missing", remove(b)},
		{"delete the last file", "00000004.jsonl: the file is missing", remove(last)},
		{"delete all files", "00000001.jsonl: the first file of the log is missing", remove(a, b, "00000003.jsonl", last)},
		{"delete the head", "head: the signed head is missing", remove("head")},
		{"change the head", "head: the signature does not belong", change("head", func(s string) string { return strings.Replace(s, `"seq":20`, `"seq":19`, 1) })},
		{"replace a file by another", "00000002.jsonl: the header says that it is file 3", func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(dir, "00000003.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			edit(t, dir, b, func(string) string { return string(text) })
		}},
		{"change a digest", ": the signature does not belong", func(t *testing.T, dir string) {
			edit(t, dir, "digests/"+filepath.Base(digests(dir)[1]), func(s string) string { return strings.Replace(s, `"awsAccountId":"0`, `"awsAccountId":"1`, 1) })
		}},
		{"delete a digest", "it does not continue", func(t *testing.T, dir string) { remove("digests/"+filepath.Base(digests(dir)[1]))(t, dir) }},
		{"delete the first digest", "the first digest is missing", func(t *testing.T, dir string) { remove("digests/"+filepath.Base(digests(dir)[0]))(t, dir) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, end := range []bool{true, false} {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(originals[end])); err != nil {
					t.Fatal(err)
				}
				if r := verify(t, nil, dir, nil); len(r.Problems) > 0 || r.Records != 20 {
					t.Fatalf("before: %+v", r)
				}
				c.do(t, dir)
				r := verify(t, nil, dir, nil)
				if len(r.Problems) == 0 || !strings.Contains(r.Problems[0], c.want) {
					t.Errorf("closed %v: got %q, want %q", end, r.Problems, c.want)
				}
				// A server that starts on it does not hide it.
				l := openLog(t, audit.Options{Dir: dir})
				write(t, l, "Later")
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if r := verify(t, nil, dir, nil); len(r.Problems) == 0 {
					t.Errorf("closed %v: a restart hides it", end)
				}
			}
		})
	}
}

// No byte of any file can be changed without notice.
func TestVerify_findsEachChangedByte(t *testing.T) {
	k := keys{seal.NewKey(3, [32]byte{5})}
	for _, k := range []seal.Keys{seal.Off{}, k} {
		dir := sound(t, k, true)
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "key" || d.Name() == "public-key.pem" {
				return err
			}
			original, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i := 0; i < len(original); i += 11 {
				changed := bytes.Clone(original)
				changed[i] ^= 1 << (i % 7)
				if err := os.WriteFile(path, changed, 0o600); err != nil {
					return err
				}
				if r := verify(t, nil, dir, nil); len(r.Problems) == 0 {
					return fmt.Errorf("%s: nobody notices byte %d: %.200q", d.Name(), i, changed[max(0, i-50):])
				}
			}
			return os.WriteFile(path, original, 0o600)
		})
		if err != nil {
			t.Error(err)
		}
		if r := verify(t, nil, dir, k); len(r.Problems) > 0 {
			t.Errorf("after: %+v", r)
		}
	}
}

// A sealed record that is moved with its whole line opens nowhere else, and without the
// right key nothing opens.
func TestVerify_decryptsSealedRecords(t *testing.T) {
	k := keys{seal.NewKey(3, [32]byte{5})}
	dir := sound(t, k, true)
	if r := verify(t, nil, dir, k); len(r.Problems) > 0 {
		t.Fatalf("%+v", r)
	}
	wrong := keys{seal.NewKey(3, [32]byte{6})}
	if r := verify(t, nil, dir, wrong); len(r.Problems) == 0 || !strings.Contains(r.Problems[0], "record 1: it cannot be decrypted") {
		t.Errorf("%+v", r)
	}
}
