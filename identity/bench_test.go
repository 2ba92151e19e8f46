package identity_test

import "testing"

// BenchmarkOpenRecord is what a node pays for each record it hears of.
func BenchmarkOpenRecord(b *testing.B) {
	ca := newCA(b, "home")
	r := roots(b, ca)
	env := sign(b, record(1), newBundle(b, ca, grant("web-1", "10.66.0.7")))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.OpenRecord(env, now); err != nil {
			b.Fatal(err)
		}
	}
}
