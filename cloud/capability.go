package cloud

// Capable is what a driver implements that wraps another one and has that one's
// optional capabilities.
type Capable interface {
	// Capability sets *want, a pointer to one of the interfaces [Catalog],
	// [Console], [Power], [NAT], [KeyTypes], [Quoter] and [Pricer], and reports whether the
	// driver has it.
	Capability(want any) bool
}

// As returns an optional capability of a driver, as As[Console](d), and whether
// it has it. A type assertion would not see those of a driver that is wrapped.
func As[C any](d Driver) (C, bool) {
	if w, ok := d.(Capable); ok {
		var c C
		ok := w.Capability(&c)
		return c, ok
	}
	c, ok := d.(C)
	return c, ok
}
