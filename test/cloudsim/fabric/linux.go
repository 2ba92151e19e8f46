package fabric

import (
	"context"
	"errors"
)

func openLinux(context.Context, Options) (host, error) {
	return nil, errors.New("machines: this build has none")
}
