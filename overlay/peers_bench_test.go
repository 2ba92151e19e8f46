package overlay_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/cbnet-io/cbnet/overlay"
)

// BenchmarkThousandPeers configures 1,000 peers in a userspace device, and
// reports what each of them costs while nothing is sent.
func BenchmarkThousandPeers(b *testing.B) {
	const peers = 1000
	lines := make([]string, peers)
	for i := range lines {
		k, err := overlay.GenerateKey()
		if err != nil {
			b.Fatal(err)
		}
		lines[i] = fmt.Sprintf("public_key=%s\nendpoint=127.0.0.1:9\nallowed_ip=10.%d.%d.1/32\nallowed_ip=fd66::%x/128\n",
			hexKey(k.Public()), i>>8, i&255, i+1)
	}
	private, err := overlay.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	var heap, stack, goroutines float64
	for b.Loop() {
		d := device.NewDevice(tuntest.NewChannelTUN().TUN(), overlay.NewBind(true), device.NewLogger(device.LogLevelSilent, ""))
		if err := d.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=0\n", hexKey(private))); err != nil {
			b.Fatal(err)
		}
		if err := d.Up(); err != nil {
			b.Fatal(err)
		}
		before := usage()
		if err := d.IpcSet(strings.Join(lines, "")); err != nil {
			b.Fatal(err)
		}
		after := usage()
		heap += after[0] - before[0]
		stack += after[1] - before[1]
		goroutines += after[2] - before[2]
		d.Close()
	}
	n := float64(b.N) * peers
	b.ReportMetric(heap/n, "heap-B/peer")
	b.ReportMetric(stack/n, "stack-B/peer")
	b.ReportMetric(goroutines/n, "goroutines/peer")
}

// usage returns bytes of heap and stack in use, and goroutines.
func usage() [3]float64 {
	runtime.GC()
	runtime.GC() // the first moves pools aside, the second frees them
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return [3]float64{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}
