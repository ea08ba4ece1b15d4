package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
)

// Accept removes missing files from the manifest, so that they are no damage any more,
// and returns what they were. It changes no other file; files that are there and damaged
// stay damage. Nobody may have the directory open.
func Accept(o Options) (gone []string, err error) {
	o = o.withDefaults()
	o.Offline = true
	d, err := lockExisting(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	v := newVault(&o, d)
	if err := v.unseal(d); err != nil {
		return nil, err
	}
	m := d.manifest
	if m == nil {
		return nil, fmt.Errorf("%s cannot be read: start the server once, so that it writes the file anew", d.sub(manifestName))
	}
	names, err := o.FS.List(d.sub(blockDir))
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	gone, m.Losses = m.Losses, nil
	m.Accepted = append(m.Accepted, gone...)
	m.Blocks = slices.DeleteFunc(m.Blocks, func(l listed) bool {
		missing := !slices.Contains(names, block.Name(l.Number))
		if missing {
			gone = append(gone, fmt.Sprintf("%s with %d traces", filepath.Join(d.sub(blockDir), block.Name(l.Number)), l.Traces))
		}
		return missing
	})
	for _, lost := range missingBeside(d) {
		gone = append(gone, lost.Error())
	}
	m.Beside = slices.DeleteFunc(m.Beside, func(name string) bool {
		return slices.ContainsFunc(missingBeside(d), func(e error) bool {
			c, ok := errors.AsType[*CorruptError](e)
			return ok && c.File == d.sub(name)
		})
	})
	if len(gone) == 0 {
		return nil, nil
	}
	one, err := m.encode()
	if err != nil {
		return nil, err
	}
	b, err := v.twice(manifestName, one, m.generation+1)
	if err != nil {
		return nil, err
	}
	return gone, replace(o.FS, d.sub(manifestName), b)
}
