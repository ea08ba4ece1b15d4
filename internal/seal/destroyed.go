package seal

import "errors"

// ErrDestroyed means that a data key was destroyed on purpose: what was sealed under it
// is unreadable for good.
var ErrDestroyed = errors.New("the key was destroyed")
