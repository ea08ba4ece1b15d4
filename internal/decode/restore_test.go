package decode_test

import (
	"path/filepath"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A span keeps the mapping of its receipt, whatever mapper restores it and writes its
// document.
func TestRestorer_keepsTheMapping(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("otlp", "testdata", "*", "input.otlp.pb"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	mappers := map[trace.Source]*otlp.Mapper{trace.SourceOTLP: new(otlp.Mapper), trace.SourceCollector: otlp.NewMapper(otlp.Options{Profile: otlp.ProfileCollector})}
	differ := 0
	for _, file := range files {
		var texts [2]string
		for source, m := range mappers {
			spans, err := m.Proto(readFile(t, file), at)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range spans.Segments {
				if s.Source != source || !s.Source.IsSpan() || (s.Span != nil) != (source == trace.SourceOTLP) {
					t.Fatalf("%s: source %d, span %v", file, s.Source, s.Span)
				}
				text, err := render.Text(s, false)
				if err != nil {
					t.Fatal(err)
				}
				texts[source%2] += string(text)
				for _, other := range mappers {
					again, err := decode.Restorer(other)(s.Source, s.Raw, s.Scope, s.Part, at)
					if err != nil || again.Source != source || entityText(again.Entity) != entityText(s.Entity) {
						t.Errorf("%s: %v\ngot  %+v\nwant %+v", file, err, again, s)
					}
				}
			}
		}
		if texts[0] != texts[1] {
			differ++
		}
	}
	if differ == 0 {
		t.Error("the mappings write the same documents")
	}
}
