package filter

import (
	"slices"
	"strings"
)

// scope tells where a keyword stands.
type scope uint8

const (
	inTrace scope = 1 << iota
	inService
	inEdge
	inCauseService
	inCauseEntity
	inCoverageEntity // rootcause.responsetime.entity
	inException

	anyCause  = inCauseService | inCauseEntity | inCoverageEntity | inException
	anyEntity = inTrace | inService | inEdge
)

func (s scope) String() string {
	switch s {
	case inTrace:
		return "at the top level"
	case inService:
		return "inside service()"
	case inEdge:
		return "inside edge()"
	case inCauseService:
		return "inside a root cause service"
	case inException:
		return "inside a root cause exception"
	}
	return "inside a root cause entity"
}

type valueType uint8

const (
	boolField valueType = iota + 1
	numberField
	stringField
	annotationField // the annotation's value has a type
)

// field is a keyword with a value.
type field uint8

const (
	fieldOK field = iota + 1
	fieldError
	fieldThrottle
	fieldFault
	fieldPartial
	fieldInferred
	fieldRoot
	fieldFirst
	fieldLast
	fieldRemote
	fieldResponseTime
	fieldDuration
	fieldStatus
	fieldIndex
	fieldCoverage
	fieldURL
	fieldMethod
	fieldUserAgent
	fieldClientIP
	fieldUser
	fieldZone
	fieldInstance
	fieldResource
	fieldName
	fieldType
	fieldMessage
	fieldAccount
	fieldAnnotation
	fieldSourceAnnotation
	fieldDestinationAnnotation
)

// fields lists every keyword with a value: its name as printed, its type and
// where it is valid.
var fields = [...]struct {
	name  string
	typ   valueType
	scope scope
}{
	fieldOK:                    {"ok", boolField, anyEntity},
	fieldError:                 {"error", boolField, anyEntity},
	fieldThrottle:              {"throttle", boolField, anyEntity},
	fieldFault:                 {"fault", boolField, anyEntity},
	fieldPartial:               {"partial", boolField, inTrace | inService},
	fieldInferred:              {"inferred", boolField, inTrace | inService | inCauseService},
	fieldRoot:                  {"root", boolField, inService},
	fieldFirst:                 {"first", boolField, anyCause},
	fieldLast:                  {"last", boolField, anyCause},
	fieldRemote:                {"remote", boolField, inCauseEntity | inCoverageEntity},
	fieldResponseTime:          {"responsetime", numberField, anyEntity},
	fieldDuration:              {"duration", numberField, anyEntity},
	fieldStatus:                {"http.status", numberField, anyEntity},
	fieldIndex:                 {"index", numberField, anyCause},
	fieldCoverage:              {"coverage", numberField, inCoverageEntity},
	fieldURL:                   {"http.url", stringField, anyEntity},
	fieldMethod:                {"http.method", stringField, anyEntity},
	fieldUserAgent:             {"http.useragent", stringField, anyEntity},
	fieldClientIP:              {"http.clientip", stringField, anyEntity},
	fieldUser:                  {"user", stringField, anyEntity},
	fieldZone:                  {"availabilityzone", stringField, anyEntity},
	fieldInstance:              {"instance.id", stringField, anyEntity},
	fieldResource:              {"resource.arn", stringField, anyEntity},
	fieldName:                  {"name", stringField, inService | anyCause},
	fieldType:                  {"type", stringField, inService | inCauseService},
	fieldMessage:               {"message", stringField, inException},
	fieldAccount:               {"account.id", stringField, inCauseService},
	fieldAnnotation:            {"annotation", annotationField, anyEntity},
	fieldSourceAnnotation:      {"source.annotation", annotationField, inEdge},
	fieldDestinationAnnotation: {"destination.annotation", annotationField, inEdge},
}

// otherKeywords are the keywords that are not fields.
var otherKeywords = []string{
	"service", "edge", "id", "group.name", "group.arn", "rootcause.json",
	"rootcause.fault.service", "rootcause.fault.entity", "rootcause.fault.exception",
	"rootcause.error.service", "rootcause.error.entity", "rootcause.error.exception",
	"rootcause.responsetime.service", "rootcause.responsetime.entity",
}

// operatorWords are keywords that cannot begin a predicate.
var operatorWords = []string{"and", "or", "not", "contains", "beginswith", "endswith", "true", "false"}

// fieldNames finds fields by name, except annotations.
var fieldNames = func() map[string]field {
	names := map[string]field{}
	for f := fieldOK; f < fieldAnnotation; f++ {
		names[fields[f].name] = f
	}
	return names
}()

// fieldOf finds the field of a keyword, 0 if there is none; lower is the keyword in
// lower case. For annotations, the text after the dot is the key.
func fieldOf(word, lower string) (f field, key string) {
	if f, ok := fieldNames[lower]; ok {
		return f, ""
	}
	for f := fieldAnnotation; f <= fieldDestinationAnnotation; f++ {
		name := fields[f].name
		if strings.HasPrefix(lower, name) && (len(lower) == len(name) || lower[len(name)] == '.') {
			return f, strings.TrimPrefix(word[len(name):], ".")
		}
	}
	return 0, ""
}

// isKeyword reports whether a word is a keyword in any scope.
func isKeyword(word string) bool {
	lower := strings.ToLower(word)
	f, _ := fieldOf(word, lower)
	return f != 0 || slices.Contains(otherKeywords, lower) || slices.Contains(operatorWords, lower)
}

// misread returns the characters that a lexer has consumed, matching keywords letter
// by letter, when no keyword can match any more: the native service quotes exactly
// these.
func misread(text string) string {
	longest := 0
	try := func(keyword string) {
		n := 0
		for n < len(keyword) && n < len(text) && text[n]|0x20 == keyword[n]|0x20 {
			n++
		}
		longest = max(longest, n)
	}
	for _, f := range fields[1:] {
		try(f.name)
	}
	for _, k := range otherKeywords {
		try(k)
	}
	for _, k := range operatorWords {
		try(k)
	}
	return text[:min(len(text), longest+1)]
}
