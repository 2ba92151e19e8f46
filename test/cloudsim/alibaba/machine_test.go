package alibaba_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// userData tells the internet who and where the machine is, and serves two
// ports. The metadata service of other clouds must not answer it.
const userData = `#!/bin/bash
python3 -m http.server 8080 --directory /usr/share/doc > /dev/null 2>&1 &
python3 -m http.server 9090 --directory /usr/share/doc > /dev/null 2>&1 &
other=silent
timeout 2 bash -c 'exec 3<> /dev/tcp/169.254.169.254/80' 2> /dev/null && other=answers
until (echo > /dev/tcp/127.0.0.1/8080 && echo > /dev/tcp/127.0.0.1/9090) 2> /dev/null; do sleep 0.1; done
exec 3<> /dev/tcp/%s/%d
printf 'GET /?%%s,%%s,%%s,%%s,%%s HTTP/1.0\r\n\r\n' "$(hostname)" "$(cat /run/cloud-init/cloud-id)" "$(hostname -I | tr -d ' ')" "$(cat /sys/class/dmi/id/product_name | tr -d ' ')" "$other" >&3
cat <&3
`

// TestBoot boots an instance: the real cloud-init finds the metadata service
// with its datasource AliYun and runs the user data; the machine reaches the
// internet, and is reached on the port with a rule and on no other.
func TestBoot(t *testing.T) {
	f := simtest.Machines(t)
	s := serve(t, f)
	var mu sync.Mutex // guards the two below
	var report string
	var from string
	internet, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", fabric.HostIP().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		report, from = r.URL.RawQuery, r.RemoteAddr
		fmt.Fprintln(w, "heard")
	})}
	go server.Serve(internet) //nolint:errcheck // ends with Close
	t.Cleanup(func() { server.Close() })
	port := internet.Addr().(*net.TCPAddr).Port

	l := s.newLand(t)
	s.do(t, "ecs", "AuthorizeSecurityGroup", p{"SecurityGroupId": l.group, "Permissions.1.IpProtocol": "TCP",
		"Permissions.1.PortRange": "8080/8080", "Permissions.1.SourceCidrIp": "0.0.0.0/0"})
	start := time.Now()
	id := s.run(t, l.order(p{
		"InstanceName": "boot", "HostName": "boot-1", "PrivateIpAddress": "10.0.1.10", "InternetMaxBandwidthOut": "10",
		"UserData": base64.StdEncoding.EncodeToString(fmt.Appendf(nil, userData, fabric.HostIP(), port)),
	}))
	console := func() string {
		raw, err := base64.StdEncoding.DecodeString(simtest.Text(s.do(t, "ecs", "GetInstanceConsoleOutput", p{"InstanceId": id}), "ConsoleOutput"))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	simtest.Within(t, 90*time.Second, func() (bool, string) {
		mu.Lock()
		defer mu.Unlock()
		return report != "", console()
	})
	t.Logf("the user data reported after %s", time.Since(start).Round(100*time.Millisecond))
	public := simtest.Text(s.instance(t, id), "PublicIpAddress", "IpAddress", 0)
	mu.Lock()
	if want := "boot-1,aliyun,10.0.1.10,AlibabaCloudECS,silent"; report != want {
		t.Errorf("the machine reported %q, want %q", report, want)
	}
	if at, err := netip.ParseAddrPort(from); err != nil || at.Addr().String() != public {
		t.Errorf("the machine came from %s, and its public address is %s", from, public)
	}
	mu.Unlock()
	simtest.Within(t, 30*time.Second, func() (bool, string) {
		out := console()
		return strings.Contains(out, "vm-init: booted") && !strings.Contains(out, "Traceback"), out
	})
	get := func(port int) error {
		c := http.Client{Timeout: time.Second}
		resp, err := c.Get(fmt.Sprintf("http://%s:%d/", public, port))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := get(8080); err != nil {
		t.Errorf("port 8080, which a rule opens: %v", err)
	}
	if err := get(9090); err == nil {
		t.Error("port 9090 answers without a rule")
	}
	s.do(t, "ecs", "DeleteInstance", p{"InstanceId": id, "Force": "true"})
	s.becomes(t, id, "")
	if err := get(8080); err == nil {
		t.Error("a deleted machine answers")
	}
}
