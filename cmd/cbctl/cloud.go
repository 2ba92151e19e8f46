package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
)

// maxCredentials is the size in bytes of a credentials file.
const maxCredentials = 64 << 10

// providers are the kinds of clouds the server may know.
var providers = []string{"aws", "gcp", "azure", "alibaba", "openstack"}

func newCloudCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cloud", Short: "accounts of clouds", RunE: group}
	cmd.AddCommand(newCloudAdd(), newCloudList(), newCloudCheck(), newCloudRegions(), newCloudSpecs(), newCloudImages(), newCloudInventory(), newCloudSweep())
	return cmd
}

func newCloudAdd() *cobra.Command {
	var spec api.CloudSpec
	var file string
	var out output
	cmd := &cobra.Command{
		Use:   "add NAME --provider PROVIDER",
		Short: "add an account of a cloud, or replace it; the same again changes nothing",
		Long: `add tells the server of an account. Credentials come from a file in the cloud's
own format, and are kept sealed on the server:

  alibaba    the Aliyun CLI's config.json
  aws        a shared credentials file
  azure      a service principal's JSON, as az ad sp create-for-rbac --sdk-auth writes it
  gcp        a service account's key file, or an authorized user's
  openstack  a clouds.yaml

Without a file the server uses what its own environment has.`,
		Args: args(1, "a name for the account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(providers, spec.Provider) {
				return usageError{fmt.Errorf("--provider: %q: want %s", spec.Provider, strings.Join(providers, ", "))}
			}
			if file != "" {
				secret, err := readCredentials(file)
				if err != nil {
					return err
				}
				spec.Credentials = secret
			}
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			c, err := client.AddCloud(cmd.Context(), args[0], spec)
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), c, func(t *table) { cloudRows(t, []api.Cloud{c}) })
		},
	}
	cmd.Flags().StringVar(&spec.Provider, "provider", "", strings.Join(providers, ", "))
	cmd.Flags().StringVar(&spec.Region, "region", "", "`REGION` of groups that name none")
	cmd.Flags().StringVar(&spec.Endpoint, "endpoint", "", "`URL` of the cloud's API where it is not the vendor's own")
	cmd.Flags().StringVar(&file, "credentials", "", "`FILE` with credentials in the cloud's own format")
	out.register(cmd)
	return cmd
}

func readCredentials(path string) (api.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", usageError{fmt.Errorf("--credentials: %w", err)}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", usageError{fmt.Errorf("--credentials: %w", err)}
	}
	if len(data) > maxCredentials {
		return "", usageError{fmt.Errorf("--credentials: %s: more than %d bytes", path, maxCredentials)}
	}
	return api.Secret(data), nil
}

func newCloudList() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "list", Short: "list the accounts", Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			list, err := client.Clouds(cmd.Context())
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), list.Clouds, func(t *table) { cloudRows(t, list.Clouds) })
		},
	}
	out.register(cmd)
	return cmd
}

func cloudRows(t *table, clouds []api.Cloud) {
	t.head("NAME", "PROVIDER", "REGION", "ENDPOINT", "ADDED")
	for _, c := range clouds {
		t.row(c.Name, c.Provider, c.Region, c.Endpoint, c.Added.Local().Format(time.DateTime))
	}
}
