package sim

import "net/http"

// Cloud is one simulated cloud, as the program that serves it sees it. All
// methods may be called concurrently.
type Cloud interface {
	// Name is the key in the ready line and the path prefix: "aws".
	Name() string

	// Handler serves every request to "/NAME" and below. The prefix is stripped
	// from Request.URL.Path (which may be empty); Request.RequestURI keeps it,
	// for signatures that cover the path.
	Handler() http.Handler

	// Inventory lists what clients created, in a stable order.
	Inventory() []Object

	// Credentials is the content of DIR/credentials/NAME, in the format of the
	// cloud's own ecosystem.
	Credentials() []byte

	// Close stops what the cloud runs in the background. The fabric is closed
	// by whoever opened it.
	Close()
}
