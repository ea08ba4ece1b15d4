package receive

// Admit takes n bytes of the room, as other requests do.
func (in *Intake) Admit(n int64) (release func(), err error) {
	r := &room{in: in}
	return r.release, r.take(n)
}
