package openstack

import "net/http"

// DecodeWrapped reads a body as the services do, into something like a port.
func DecodeWrapped(body []byte) error {
	var dst portBody
	return decodeWrapped(body, "port", &dst)
}

// Negotiate returns the microversion that a client gets for a header.
func Negotiate(text string) (string, error) {
	v, err := negotiate(http.Header{"X-Openstack-Nova-Api-Version": {text}})
	return v.String(), err
}

// Hostname returns the host name of a server.
func Hostname(name string) string { return hostname(name) }

// Metadata returns the metadata service of a server.
func (c *Cloud) Metadata(id string) http.Handler { return c.metadata(id) }
