package storetest_test

import (
	"testing"

	"github.com/cbnet-io/cbnet/store/storetest"
)

func TestMemory(t *testing.T) { storetest.Conformance(t, &storetest.Memory{}) }
