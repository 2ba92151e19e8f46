package fabric

import "sync"

// consoleSize bounds what is kept of a console, in bytes. EC2 keeps as much.
const consoleSize = 64 << 10

// console keeps the last bytes written to it.
type console struct {
	mu   sync.Mutex // guards the fields below
	data []byte     // at most twice consoleSize
}

func newConsole() *console { return &console{} }

// Write implements io.Writer; it never fails.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	if len(p) > consoleSize {
		p = p[len(p)-consoleSize:]
	}
	if len(c.data)+len(p) > 2*consoleSize {
		c.data = append(c.data[:0], c.data[len(c.data)-consoleSize:]...)
	}
	c.data = append(c.data, p...)
	return n, nil
}

// bytes is a copy of the last consoleSize bytes.
func (c *console) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.data
	if len(d) > consoleSize {
		d = d[len(d)-consoleSize:]
	}
	return append([]byte{}, d...)
}
