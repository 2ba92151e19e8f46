package control

import "testing"

func FuzzDecode(f *testing.F) {
	f.Add(200, []byte(`[{"name":"b","rttMs":null}]`))
	f.Add(404, []byte(`{"error":"no such node"}`))
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		var peers []Peer
		err := decode(status, data, &peers)
		if status/100 != 2 && err == nil {
			t.Errorf("status %d: no error", status)
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
	})
}
