package simtest

// Dig follows names and indexes into decoded JSON; what is not there is nil.
func Dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// Text is Dig for a string, "" for anything else.
func Text(v any, path ...any) string {
	s, _ := Dig(v, path...).(string)
	return s
}
