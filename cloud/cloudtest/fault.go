package cloudtest

import (
	"errors"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// wantClass fails the test unless err wraps class.
func wantClass(t testing.TB, what string, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Errorf("%s: got error %v, want one that wraps %q", what, err, class)
	}
}

// wantWords fails the test unless err says all the words.
func wantWords(t testing.TB, what string, err error, words ...string) {
	t.Helper()
	if err == nil {
		return // wantClass has told
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error does not name %q: %v", what, w, err)
		}
	}
}

// wantFault fails the test unless err wraps class and tells a user where to
// look: it names the cloud and all the words (region, object) and, if the cloud
// refused, the call and the vendor's code and message.
func wantFault(t testing.TB, what string, d cloud.Driver, err, class error, words ...string) {
	t.Helper()
	wantClass(t, what, err, class)
	wantWords(t, what, err, append(words, d.Provider())...)
	var api *cloud.APIError
	if !errors.As(err, &api) {
		return // the driver's own refusal
	}
	if api.Provider != d.Provider() || api.Op == "" || api.Code == "" || api.Message == "" {
		t.Errorf("%s: got %+v, want cloud, call, code and message", what, api)
	}
	wantWords(t, what, err, api.Op, api.Code, api.Message)
}
