package bench_test

import (
	"testing"

	"github.com/cbnet-io/cbnet/test/bench"
)

func measureIdle(t *testing.T, to *bench.Report)      {}
func measurePeers(t *testing.T, to *bench.Report)     {}
func measureSimulated(t *testing.T, to *bench.Report) {}
