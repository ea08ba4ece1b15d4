// Package filter is the language of X-Ray filter expressions: it reads, checks,
// prints and evaluates them, and says what a store may skip.
//
//	responsetime > 2 AND service("api.example.com") { fault } AND annotation.plan = "gold"
//
// The language is the one of the X-Ray developer guide, "Using filter
// expressions". Keywords and word operators are case-insensitive; strings and
// annotation keys are not. AND binds tighter than OR and may be left out.
//
// The parts, in the order a text passes them: lex.go (text → tokens), field.go
// (what keywords exist and where they are valid), parse.go and clauses.go
// (tokens → checked tree), group.go (groups put in), match.go and values.go
// (tree × trace → bool), bounds.go (what every match must satisfy), print.go
// (tree → text), entities.go (the form that time series take).
package filter
