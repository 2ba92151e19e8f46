package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/internal/version"
)

// versions is what `cbctl version` prints.
type versions struct {
	Client string            `json:"client"`
	Server string            `json:"server,omitempty"` // empty: no server is known
	Mesh   string            `json:"mesh,omitempty"`
	Nodes  []api.NodeVersion `json:"nodes"`
}

func newVersionCommand() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "version", Short: "show the versions of client, server and nodes", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := askVersions(cmd)
			perr := out.print(cmd.OutOrStdout(), v, func(t *table) {
				t.head("PART", "VERSION", "NOTE")
				t.row("client", v.Client, "")
				if v.Server != "" {
					t.row("server", v.Server, "")
				}
				for _, n := range v.Nodes {
					t.row("node "+n.Name, n.Version, n.Error)
				}
			})
			for _, w := range skew(v) {
				fmt.Fprintln(cmd.ErrOrStderr(), "cbctl: warning: "+w)
			}
			return errors.Join(perr, err)
		},
	}
	out.register(cmd)
	return cmd
}

// askVersions asks the server, if one is known. The client's own version comes
// in any case.
func askVersions(cmd *cobra.Command) (versions, error) {
	v := versions{Client: version.Version, Nodes: []api.NodeVersion{}}
	client, err := dial(cmd, api.WithRetry(0))
	if errors.Is(err, errNoContext) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	defer client.Close()
	got, err := client.Version(cmd.Context())
	if err != nil {
		return v, err
	}
	v.Server, v.Mesh = got.Server, got.Mesh
	v.Nodes = append(v.Nodes, got.Nodes...)
	return v, nil
}

// skew says which parts differ from the server.
func skew(v versions) []string {
	if v.Server == "" {
		return nil
	}
	var out []string
	if v.Client != v.Server {
		out = append(out, fmt.Sprintf("this client is %s, the server %s", v.Client, v.Server))
	}
	for _, n := range v.Nodes {
		if n.Version != "" && n.Version != v.Server {
			out = append(out, fmt.Sprintf("node %s is %s, the server %s", n.Name, n.Version, v.Server))
		}
	}
	return out
}
