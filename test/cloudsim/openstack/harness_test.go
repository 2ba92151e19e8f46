package openstack_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/openstack"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// site is a cloud behind a server, on a fabric without machines.
type site struct {
	cloud  *openstack.Cloud
	faults *faults.Injector
	url    string
	yaml   string // file with its credentials
}

// open starts a cloud; change may alter its options.
func open(t *testing.T, change ...func(*openstack.Options)) *site {
	t.Helper()
	f := simtest.Paper(t, 0)
	return openOn(t, f, change...)
}

// openOn starts a cloud on a fabric, which is closed with it.
func openOn(t *testing.T, f *fabric.Fabric, change ...func(*openstack.Options)) *site {
	t.Helper()
	s := &site{faults: faults.New(faults.Config{}), yaml: filepath.Join(t.TempDir(), "clouds.yaml")}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/openstack", s.cloud.Handler()).ServeHTTP(w, r)
	}))
	s.url = srv.URL + "/openstack"
	o := openstack.Options{Fabric: f, Faults: s.faults, URL: s.url}
	for _, c := range change {
		c(&o)
	}
	s.cloud = openstack.New(o)
	if err := os.WriteFile(s.yaml, s.cloud.Credentials(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.Close()
		s.cloud.Close()
	})
	return s
}

// client is Debian's, whatever else is in the path.
const client = "/usr/bin/openstack"

// cli runs lines of the openstack command in one process, which reads them from
// its input, and returns what each printed. The command takes seconds to start.
func (s *site) cli(t *testing.T, lines ...string) []string {
	t.Helper()
	// Between its answers the command prints nothing of its own; a line that it
	// does not know makes it complain.
	const mark = "zzmark"
	between := regexp.MustCompile(`openstack: '` + mark + `' is not an openstack command\..*\n(Did you mean.*\n(  \S.*\n)*)?`)
	cmd := exec.CommandContext(t.Context(), client)
	cmd.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "OS_CLIENT_CONFIG_FILE=" + s.yaml, "OS_CLOUD=cloudsim", "LANG=C.UTF-8", "PYTHONUNBUFFERED=1",
	}
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"+mark+"\n") + "\n" + mark + "\n")
	out, err := cmd.CombinedOutput()
	parts := between.Split(string(out), -1)
	if len(parts) != len(lines)+1 {
		t.Fatalf("openstack: %v, %d answers to %d lines:\n%s", err, len(parts)-1, len(lines), out)
	}
	return parts[:len(lines)]
}
