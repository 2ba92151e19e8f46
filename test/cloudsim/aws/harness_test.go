package aws_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// site is a cloud behind a server, on a fabric without machines.
type site struct {
	cloud  *aws.Cloud
	fabric *fabric.Fabric
	faults *faults.Injector
	url    string
}

// open starts a cloud; change may alter its options.
func open(t *testing.T, change ...func(*aws.Options)) *site {
	t.Helper()
	f := simtest.Paper(t, 0)
	s := &site{fabric: f, faults: faults.New(faults.Config{})}
	o := aws.Options{Fabric: f, Faults: s.faults}
	for _, c := range change {
		c(&o)
	}
	s.cloud = aws.New(o)
	srv := httptest.NewServer(s.cloud.Handler())
	s.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		s.cloud.Close()
	})
	return s
}

// cli runs the AWS CLI and returns what it printed, decoded, and its complaint.
func (s *site) cli(t *testing.T, args ...string) (map[string]any, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "aws", append([]string{"--endpoint-url", s.url, "--output", "json"}, args...)...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(),
		"HOME="+home, "AWS_CONFIG_FILE="+home+"/none", "AWS_SHARED_CREDENTIALS_FILE="+home+"/none", "AWS_ACCESS_KEY_ID=AKIAEXAMPLE",
		"AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=ap-northeast-2", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true")
	if home := os.Getenv("HOME"); home != "" {
		cmd.Env = append(cmd.Env, "PYENV_ROOT="+home+"/.pyenv")
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if errs.Len() == 0 {
			t.Fatalf("aws %s: %v", strings.Join(args, " "), err)
		}
		return nil, strings.TrimSpace(errs.String())
	}
	answer := map[string]any{}
	if out.Len() > 0 {
		if err := json.Unmarshal([]byte(out.String()), &answer); err != nil {
			t.Fatalf("aws %s: %v in %s", strings.Join(args, " "), err, out.String())
		}
	}
	return answer, ""
}
