package resource

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// shown returns a policy as the service shows it: unchanged, except that a list with one
// action becomes that action, and without white space. The text must be a valid policy.
func shown(document string) string {
	v, err := jsonscan.Parse([]byte(document))
	if err != nil {
		return document
	}
	statement := func(dst []byte, v jsonscan.Value) []byte {
		return object(dst, v, func(dst []byte, name string, value jsonscan.Value) []byte {
			if name == "Action" && value.Kind() == jsonscan.Array {
				if list := slices.Collect(value.Elements()); len(list) == 1 {
					value = list[0]
				}
			}
			return append(dst, value...)
		})
	}
	return string(object(nil, v, func(dst []byte, name string, value jsonscan.Value) []byte {
		switch {
		case name != "Statement":
			return append(dst, value...)
		case value.Kind() == jsonscan.Object:
			return statement(dst, value)
		}
		dst = append(dst, '[')
		for v := range value.Elements() {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = statement(dst, v)
		}
		return append(dst, ']')
	}))
}

// object appends an object; f appends each value.
func object(dst []byte, v jsonscan.Value, f func(dst []byte, name string, value jsonscan.Value) []byte) []byte {
	dst = append(dst, '{')
	first := true
	for name, value := range v.Members() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), name...), '"', ':')
		dst = f(dst, jsonscan.Unquote(name), value)
	}
	return append(dst, '}')
}
