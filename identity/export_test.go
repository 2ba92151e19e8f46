package identity

// ParseIndex reports whether an index can be read.
func ParseIndex(data []byte) error {
	_, err := parseIndex(data)
	return err
}
