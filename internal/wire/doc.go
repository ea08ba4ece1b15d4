// Package wire describes the protocol of the X-Ray API as data: the table of
// operations, the shapes of requests and answers, and the names of exceptions.
//
// Answers look as the native service writes them: members in alphabetical order,
// null for unset members, [] for empty lists, times as epoch seconds. The struct
// fields are in that order.
package wire
