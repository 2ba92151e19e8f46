package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/server/pki"
)

// ensureAdmin returns the administrator, whose context file the first start
// writes. A later start brings address and CA in the file up to date, unless it
// was taken away.
func ensureAdmin(ctx context.Context, p *pki.Service, path, url string) (*pki.Admin, error) {
	made := false
	admin, err := p.EnsureAdmin(ctx, func(token string) error {
		made = true
		return writeContext(path, api.Context{Name: p.Mesh().Name, URL: url, CA: p.CAPEM(), Token: api.Secret(token)})
	})
	if err != nil || made {
		return admin, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return admin, nil
	}
	if err != nil {
		return nil, fmt.Errorf("administrator's context: %w", err)
	}
	c, err := api.ParseContext(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove the file if its token is kept elsewhere", path, err)
	}
	if c.URL == url && c.CA == p.CAPEM() {
		return admin, nil
	}
	c.URL, c.CA = url, p.CAPEM()
	return admin, writeContext(path, c)
}

func writeContext(path string, c api.Context) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	if err := identity.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("administrator's context: %w", err)
	}
	return nil
}
