package guard

import "regexp"

var (
	// query is what follows a URL: Alibaba's has the signature and all
	// parameters in it, user-data included.
	query = regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^\s"'?]*)\?[^\s"']*`)
	// login is a name and password in a URL.
	login = regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^\s"'/?@]*@`)
	// blob is base64 that is no id: user-data, keys, signatures. Nova quotes
	// what it refuses.
	blob = regexp.MustCompile(`[A-Za-z0-9+/]{80,}={0,2}`)
)

const hiddenText = "REDACTED"

// redact takes what may be secret out of a text.
func redact(s string) string {
	s = login.ReplaceAllString(s, "${1}"+hiddenText+"@")
	s = query.ReplaceAllString(s, "$1?"+hiddenText)
	return blob.ReplaceAllString(s, hiddenText)
}

// redacted is an error without the secrets in its text.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// clean returns err without secrets in its text; what it wraps stays.
func clean(err error) error {
	if err == nil {
		return nil
	}
	if text := redact(err.Error()); text != err.Error() {
		return &redacted{text, err}
	}
	return err
}
