package erase

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// removeRecords deletes the records of Options.Kinds that name the erased person or value,
// or an erased trace, and returns how many there were.
func (e *Eraser) removeRecords(ctx context.Context, account trace.Account, r *Request, doomed []trace.ID) (n int, err error) {
	ids := make(map[string]bool, len(doomed))
	for _, id := range doomed {
		ids[id.String()] = true
	}
	text := r.User
	if r.Annotation != "" {
		_, text, _ = cutAnnotation(r.Annotation) // parse has checked it
	}
	err = e.o.Records.Update(ctx, account, func(tx meta.Tx) error {
		n = 0
		for _, kind := range e.o.Kinds {
			var found []string
			if err := tx.List(kind, func(name string, value json.RawMessage) error {
				var v any
				if json.Unmarshal(value, &v) == nil && names(v, text, ids) {
					found = append(found, name)
				}
				return nil
			}); err != nil {
				return err
			}
			for _, name := range found {
				if _, err := tx.Delete(kind, name); err != nil {
					return err
				}
			}
			n += len(found)
		}
		return nil
	})
	return n, err
}

// names reports whether a JSON value has a text, alone or in quotes, or one of the ids.
func names(v any, text string, ids map[string]bool) bool {
	switch v := v.(type) {
	case string:
		return ids[v] || text != "" && (v == text || strings.Contains(v, `"`+text+`"`))
	case []any:
		for _, x := range v {
			if names(x, text, ids) {
				return true
			}
		}
	case map[string]any:
		for key, x := range v {
			if names(key, text, ids) || names(x, text, ids) {
				return true
			}
		}
	}
	return false
}
