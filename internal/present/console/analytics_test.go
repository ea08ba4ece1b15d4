package console

import "testing"

func FuzzSeriesRequest(f *testing.F) {
	for _, s := range []string{"start=0&end=60", "start=1e300&end=-1e300&bucket=1e300&top=1e300", "start=NaN&end=Inf", "%zz", "start=1&start=2", "group=annotation.x&start=0&end=1&top=1.5", "a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		_, _ = facetsRequest(raw)
		_, _ = compareRequest(raw)
		_, _ = histogramRequest(raw)
		r, err := seriesRequest(raw)
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
		if r.Bucket < 0 {
			t.Errorf("%q: bucket %v", raw, r.Bucket)
		}
	})
}
