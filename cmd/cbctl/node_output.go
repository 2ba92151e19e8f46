package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/cbnet-io/cbnet/node/control"
)

// nodeYAML writes a value with the names and the order it has in JSON.
func nodeYAML(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("yaml: %w", err)
	}
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil { // JSON is YAML
		return fmt.Errorf("yaml: %w", err)
	}
	nodeBlockStyle(&n)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return fmt.Errorf("yaml: %w", err)
	}
	return e.Close()
}

func nodeBlockStyle(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, c := range n.Content {
		nodeBlockStyle(c)
	}
}

func nodeStatusTable(t *table, s control.Status) {
	t.row("node", s.Name)
	t.row("mesh", s.Mesh)
	t.row("addresses", strings.TrimSpace(s.IP+" "+s.IP6))
	t.row("interface", strings.TrimSpace(s.Interface+" "+s.Datapath))
	t.row("port", fmt.Sprintf("%d/udp", s.Port))
	t.row("phase", string(s.Phase))
	t.row("peers", fmt.Sprintf("%d up, %d connecting, %d unreachable, %d away", s.Peers.Up, s.Peers.Connecting, s.Peers.Unreachable, s.Peers.Away))
	if s.Expires != nil {
		t.row("certificate", "until "+s.Expires.Format(time.RFC3339))
	}
	t.row("version", s.Version)
}

func nodePeersTable(t *table, peers []control.Peer, now time.Time) {
	t.head("NAME", "IP", "IP6", "STATE", "PATH", "ENDPOINT", "RTT", "HANDSHAKE", "RX", "TX", "REASON")
	for _, p := range peers {
		rtt, handshake := "", ""
		if p.RTTMs != nil {
			rtt = fmt.Sprintf("%.1fms", *p.RTTMs)
		}
		if p.LastHandshake != nil {
			handshake = now.Sub(*p.LastHandshake).Round(time.Second).String()
		}
		t.row(p.Name, p.IP, p.IP6, string(p.State), p.Path, p.Endpoint, rtt, handshake, nodeBytes(p.RxBytes), nodeBytes(p.TxBytes), p.Reason)
	}
}

func nodeDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// nodeBytes prints a number of bytes with at most four digits.
func nodeBytes(n int64) string {
	f, unit := float64(n), ""
	for _, u := range []string{"K", "M", "G", "T"} {
		if f < 1000 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "" {
		return fmt.Sprintf("%d", n)
	}
	return fmt.Sprintf("%.1f%s", f, unit)
}
