package cloud

// Wrapper is a driver around another one. It may implement capabilities that
// the other one lacks: [As] does not take them from it.
type Wrapper interface {
	Driver
	// Unwrap returns the driver inside.
	Unwrap() Driver
}

// As returns d as one of the optional capabilities, [Console], [Power], [NAT],
// [Quoter] or [Pricer], and false if it has not got it. A wrapped driver has
// the capabilities of the driver inside, through the wrapper where that
// implements them too. It takes the place of a type assertion, which sees the
// wrapper alone.
func As[T any](d Driver) (T, bool) {
	outer, has := d.(T)
	w, wraps := d.(Wrapper)
	if !wraps {
		return outer, has
	}
	inner, ok := As[T](w.Unwrap())
	if ok && has {
		return outer, true
	}
	return inner, ok
}
