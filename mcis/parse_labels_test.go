package mcis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/mcis"
)

// sshKey is the public half of a key that nobody has.
const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

func TestParseLabels(t *testing.T) {
	const text = `kind: MCIS
name: shop
groups:
  - name: web
    cloud: aws
    labels: {팀: "인프라 개발팀", 地域: 東京リージョン, 店舗: 𠮷野家, 数据中心: 北京, CostCenter: KR_12345/a:b=c, note: "", year: 2026}
`
	specs, err := mcis.ParseSpec("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"팀": "인프라 개발팀", "地域": "東京リージョン", "店舗": "𠮷野家", "数据中心": "北京",
		"CostCenter": "KR_12345/a:b=c", "note": "", "year": "2026",
	}
	if d := cmp.Diff(want, specs[0].Groups[0].Labels); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	if n := specs[0].Line("groups[0].labels.地域"); n != 6 {
		t.Errorf("line %d, want 6", n)
	}
}

func TestParseLabelFaults(t *testing.T) {
	const limits = "keys have 1 to 36 bytes, values up to 36; Hangul, Kana, Kanji and Hanzi take three each"
	for _, tt := range []struct {
		name, labels string // labels begin on line 6
		want         []string
	}{
		{"no mapping", "    labels: [web]", []string{`f.yaml:6: groups[0].labels: is a list, not a mapping; write it as {key: value}`}},
		{"too long in Korean", "    labels:\n      팀: 인프라개발팀인프라개발팀서울", []string{
			`f.yaml:7: groups[0].labels.팀: label "팀": "인프라개발팀인프라개발팀서울": want at most 36 bytes each; ` + limits,
		}},
		{"too long in Japanese and Chinese", "    labels:\n      地域: 東京リージョンのデータセンター\n      数据中心: 北京数据中心北京数据中心一", []string{
			`f.yaml:7: groups[0].labels.地域: label "地域": "東京リージョンのデータセンター": want at most 36 bytes each; ` + limits,
			`f.yaml:8: groups[0].labels.数据中心: label "数据中心": "北京数据中心北京数据中心一": want at most 36 bytes each; ` + limits,
		}},
		{"ours", "    labels:\n      a: b\n      cbnet-mcis: x", []string{
			`f.yaml:8: groups[0].labels.cbnet-mcis: label "cbnet-mcis": keys that begin with "cbnet-" are not for users; ` + limits,
		}},
		{"no key", `    labels: {"": x}`, []string{`f.yaml:6: groups[0].labels.: label: a key is empty; ` + limits}},
		{"control character", `    labels: {a: "b\u0007"}`, []string{`f.yaml:6: groups[0].labels.a: label "a": "b\a": want no control characters; ` + limits}},
		{"no text", "    labels:\n      a: true\n      b: [x]\n      c:", []string{
			`f.yaml:7: groups[0].labels.a: "true" is true or false, not a text; put it in quotes`,
			`f.yaml:8: groups[0].labels.b: is a list, not a text; put it in quotes`,
			`f.yaml:9: groups[0].labels.c: "" is empty, not a text; put it in quotes`,
		}},
		{"twice", "    labels: {a: b, a: c, A: d}", []string{
			`f.yaml:6: groups[0].labels.A: differs from a in case alone, which Azure does not see; rename one of them`,
			`f.yaml:6: groups[0].labels.a: is there twice; keep one of them`,
		}},
		{"too many", "    labels: {" + strings.Repeat("a: b, ", 17) + "}", []string{`f.yaml:6: groups[0].labels: 17 labels, more than 16; remove some`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "kind: MCIS\nname: shop\ngroups:\n  - name: web\n    cloud: aws\n" + tt.labels + "\n"
			_, err := mcis.ParseSpec("f.yaml", []byte(text))
			if d := cmp.Diff(tt.want, strings.Split(fmt.Sprint(err), "\n")); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

func TestParseSSHKey(t *testing.T) {
	const fix = "; write the line of the file in ~/.ssh whose name ends in .pub"
	for _, tt := range []struct{ name, field, want string }{
		{"a line", "sshKey: " + sshKey + " me@host", "<nil>"},
		{"with the end of the line", "sshKey: |\n  " + sshKey, "<nil>"},
		{"a file's name", "sshKey: ~/.ssh/id_ed25519.pub", "f.yaml:3: sshKey: ssh key: want one line of an authorized_keys file without options: TYPE BASE64 [COMMENT]" + fix},
		{"private", "sshKey: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  hush", "f.yaml:3: sshKey: ssh key: this is a private key; want the public one, the line in the file that ends in .pub" + fix},
		{"list", "sshKey: [" + sshKey + "]", "f.yaml:3: sshKey: is a list, not a text" + fix},
		{"long", "sshKey: " + sshKey + strings.Repeat(" x", 2100), "f.yaml:3: sshKey: 4280 bytes, more than 4096" + fix},
	} {
		t.Run(tt.name, func(t *testing.T) {
			specs, err := mcis.ParseSpec("f.yaml", []byte("kind: MCIS\nname: shop\n"+tt.field+"\ngroups: [{name: web, cloud: aws}]\n"))
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			if err == nil && !strings.HasPrefix(specs[0].SSHKey, sshKey) || strings.HasSuffix(specs[0].SSHKey, "\n") {
				t.Errorf("key %q", specs[0].SSHKey)
			}
		})
	}
}

func TestParseEgress(t *testing.T) {
	for field, want := range map[string]string{
		"egress: nat, publicIp: false": "<nil>",
		"egress: nat":                  `f.yaml:3: groups[0].egress: the machines have public addresses and need no other way out; remove egress, or add "publicIp: false"`,
		"egress: vpn":                  `f.yaml:3: groups[0].egress: "vpn" is not possible here; use one of nat`,
		"egress: vpn, publicIp: false": `f.yaml:3: groups[0].egress: "vpn" is not possible here; use one of nat`,
	} {
		_, err := mcis.ParseSpec("f.yaml", []byte("kind: MCIS\nname: shop\ngroups: [{name: web, cloud: aws, "+field+"}]\n"))
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", field, got, want)
		}
	}
}
