package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/cbnet-io/cbnet/server/servertest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDocument keeps api/openapi.json true to the types. After a change of the
// API: go test ./server -run TestDocument -update
func TestDocument(t *testing.T) {
	s := servertest.Start(t, servertest.NewDisk(t))
	raw, err := s.Server.Document()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	path := filepath.Join("..", "api", "openapi.json")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is not what the types say; run: go test ./server -run TestDocument -update", path)
	}
}
