// Package filter implements X-Ray filter expressions: it parses, validates, prints
// and evaluates them, and derives bounds with which a store can skip traces.
//
//	responsetime > 2 AND service("api.example.com") { fault } AND annotation.plan = "gold"
//
// The language follows the X-Ray developer guide, "Using filter expressions".
// Keywords and word operators are case-insensitive; strings and annotation keys are
// case-sensitive. AND binds tighter than OR and may be omitted.
//
// The files, in the order of processing: lex.go (text → tokens), field.go (keywords
// and where they are valid), parse.go and clauses.go (tokens → validated tree),
// group.go (replaces groups with their filters), match.go and values.go (tree ×
// trace → bool), bounds.go (conditions that every match satisfies), print.go (tree →
// text), entities.go (the restricted form for time series).
package filter
