package alibaba

import "time"

// maxToken is the length of a client token, in ASCII characters.
const maxToken = 64

// answered is what a client token stands for.
type answered struct {
	action string
	params string // canonical form of the request
	at     time.Time
	out    obj
}

// once runs an action that changes something, once for each client token: the
// token answers with what came of its first success for ever, whatever has
// become of that since.
func (c *call) once(do func(*call) (obj, error)) (obj, error) {
	token := c.q.str("ClientToken")
	if token == "" {
		return do(c)
	}
	if len(token) > maxToken || !ascii(token) {
		return nil, fault(400, "InvalidClientToken", "The ClientToken must be at most %d ASCII characters.", maxToken)
	}
	if old, used := c.r.tokens[token]; used {
		switch {
		case old.action != c.q.str("Action") || old.params != c.q.canonical():
			return nil, fault(400, "IdempotentParameterMismatch", "Request uses a client token in a previous request but is not identical to that request.")
		case c.now().Sub(old.at) < c.opts.Processing:
			return nil, fault(400, "IdempotentProcessing", "The previous idempotent request(s) is still processing.")
		}
		return old.out, nil
	}
	out, err := do(c)
	if err == nil {
		c.r.tokens[token] = answered{c.q.str("Action"), c.q.canonical(), c.now(), out}
	}
	return out, err
}

func ascii(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}
