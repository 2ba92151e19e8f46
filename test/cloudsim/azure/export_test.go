package azure

import (
	"net/http"
	"strings"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// Metadata returns the metadata service of a machine by its id.
func (c *Cloud) Metadata(id string) http.Handler { return c.metadata(strings.ToLower(id)) }

// Compiled returns the fabric's rules for an interface by its id.
func (c *Cloud) Compiled(id string) []fabric.Rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.nics.Get(strings.ToLower(id))
	if !ok {
		return nil
	}
	cl := &call{Cloud: c}
	n, _ := cl.networkOf(v)
	return cl.compile(v, n)
}
