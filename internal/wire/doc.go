// Package wire is the protocol of the X-Ray API as data: the table of
// operations, the shapes of requests and answers, and the names of exceptions.
//
// Answers are written as the native service writes them: members in alphabetical
// order, null for what is not set, [] for empty lists, times as epoch seconds.
// The struct fields stand in that order.
package wire
