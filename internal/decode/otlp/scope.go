package otlp

// Scope is a parsed InstrumentationScope message.
type Scope struct {
	Name, Version string
	Attributes    []Attribute
	Dropped       uint32
}

func parseScope(b []byte) (i Scope, err error) {
	f := FieldsOf(b)
	for f.Next() {
		switch {
		case f.Is(1, Bytes):
			i.Name = Text(f.Data)
		case f.Is(2, Bytes):
			i.Version = Text(f.Data)
		case f.Is(3, Bytes):
			i.Attributes, err = appendAttr(i.Attributes, f.Data)
		case f.Is(4, Varint):
			i.Dropped = uint32(f.Num)
		}
		if err != nil {
			return i, err
		}
	}
	return i, f.err
}
