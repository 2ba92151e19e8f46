package aws_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/aws"
)

func TestCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAFROMENV") // must not be looked at
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	for _, tc := range []struct {
		name, file, fault string
	}{
		{"default", "[default]\naws_access_key_id=AKIA\naws_secret_access_key=hidden\n", ""},
		{"only one", "# c\n[profile work]\r\naws_access_key_id = AKIA\r\naws_secret_access_key = hidden\r\nregion = eu-west-1\r\n", ""},
		{"several with default", "[a]\nx=y\n[default]\naws_access_key_id=A\naws_secret_access_key=hidden", ""},
		{"several without default", "[a]\nx=hidden\n[b]\nx=hidden\n", "several profiles"},
		{"empty", "", "no [default] profile"},
		{"no secret", "[default]\naws_access_key_id=hidden\n", "are needed"},
		{"key before profile", "aws_access_key_id=hidden\n", "line 1"},
		{"not INI", "[default]\n{hidden}\n", "line 2"},
		{"too long", "[default]\n" + strings.Repeat("#", 70000), "at most"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := aws.New(t.Context(), aws.Config{Credentials: []byte(tc.file)})
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %q and no value", err, tc.fault)
			}
		})
	}
}

func TestEndpoint(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:80", "ftp://host", "http://", "://"} {
		_, err := aws.New(t.Context(), aws.Config{Endpoint: bad, Credentials: []byte(credentialsFile)})
		if !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", bad, err)
		}
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add([]byte(credentialsFile))
	f.Add([]byte("[\n]\n[]\n="))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := aws.New(t.Context(), aws.Config{Credentials: file})
		if (err == nil) == (d == nil) {
			t.Errorf("driver %v, error %v", d, err)
		}
	})
}
