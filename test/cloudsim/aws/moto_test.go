package aws_test

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMotoVerified runs tests of moto's, another simulation of AWS, against this
// one: those whose expectations moto's authors have checked against AWS itself.
// The tests are not in this project:
//
//	CBNET_MOTO_SRC     a checkout of https://github.com/getmoto/moto, tag 5.2.1
//	CBNET_MOTO_PYTHON  a Python that has moto[ec2] 5.2.1, pytest and freezegun; default python3
//
// testdata/moto-verified.txt says what comes of each; a difference, to either
// side, fails.
func TestMotoVerified(t *testing.T) {
	src := os.Getenv("CBNET_MOTO_SRC")
	if src == "" {
		t.Skip("CBNET_MOTO_SRC names no checkout of moto")
	}
	s := open(t)
	params := parameterStore(t, image(t, s.client("us-east-1")))
	want := expected(t)
	report := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "--junitxml", report}
	for id := range want {
		args = append(args, filepath.Join("tests", "test_ec2", id))
	}
	cmd := exec.CommandContext(t.Context(), cmp.Or(os.Getenv("CBNET_MOTO_PYTHON"), "python3"), args...)
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "MOTO_TEST_ALLOW_AWS_REQUEST=true", "AWS_ENDPOINT_URL_EC2="+s.url, "AWS_ENDPOINT_URL_STS="+s.url,
		"AWS_ENDPOINT_URL_SSM="+params, "AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "PYTHONDONTWRITEBYTECODE=1")
	out, runErr := cmd.CombinedOutput() // fails when a test does
	got := results(t, report, string(out), runErr)
	passed := 0
	for id, w := range want {
		g, ran := got[id]
		switch {
		case !ran:
			t.Errorf("%s was not run", id)
		case w.pass && g != "":
			t.Errorf("%s: want pass, got %s", id, g)
		case !w.pass && g == "":
			t.Errorf("%s passes; it was expected to fail: %s", id, w.why)
		case w.pass:
			passed++
			t.Logf("pass  %s", id)
		default:
			t.Logf("fail  %s: %s (%.120s)", id, w.why, g)
		}
	}
	t.Logf("%d of %d pass", passed, len(want))
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// outcome is what comes of a test.
type outcome struct {
	pass bool
	why  string
}

// expected reads the list of tests.
func expected(t *testing.T) map[string]outcome {
	t.Helper()
	data, err := os.ReadFile("testdata/moto-verified.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]outcome{}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		verdict, rest, _ := strings.Cut(line, " ")
		id, why, _ := strings.Cut(rest, " ")
		want[id] = outcome{verdict == "pass", why}
	}
	if len(want) < 30 {
		t.Fatalf("%d tests in the list, want 30", len(want))
	}
	return want
}

// results reads pytest's report: "" of what passed, else the complaint.
func results(t *testing.T, path, out string, runErr error) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("pytest wrote no report: %v, %v\n%s", runErr, err, out)
	}
	type complaint struct {
		Message string `xml:"message,attr"`
	}
	var report struct {
		Cases []struct {
			Class   string     `xml:"classname,attr"`
			Name    string     `xml:"name,attr"`
			Failure *complaint `xml:"failure"`
			Error   *complaint `xml:"error"`
			Skipped *complaint `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range report.Cases {
		id := c.Class[strings.LastIndexByte(c.Class, '.')+1:] + ".py::" + c.Name
		for _, m := range []*complaint{c.Failure, c.Error, c.Skipped} {
			if m != nil {
				got[id] = cmp.Or(m.Message, "no message")
			}
		}
		if _, bad := got[id]; !bad {
			got[id] = ""
		}
	}
	return got
}

// parameterStore stands for the one call of Systems Manager that the tests make:
// which image is the newest Amazon Linux. It answers with one that is here.
func parameterStore(t *testing.T, image string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if target := r.Header.Get("X-Amz-Target"); target != "AmazonSSM.GetParameter" {
			http.Error(w, fmt.Sprintf("%s is not served", target), http.StatusNotImplemented)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{
			"Name": "image", "Type": "String", "Value": image, "Version": 1, "LastModifiedDate": float64(time.Now().Unix()),
		}})
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
