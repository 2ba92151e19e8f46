package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
)

// cloudQuestion is a verb that asks the server about an account and prints the
// answer.
type cloudQuestion[T any] struct {
	verb, short, long string
	region            string // help of --region; empty: the verb has none
	ask               func(ctx context.Context, c *api.Client, name, region string) (T, error)
	value             func(answer T) any // what -o json prints
	rows              func(t *table, answer T)
	faults            func(answer T) []api.CloudFault // what was not answered; nil: nothing ever is
}

func (q cloudQuestion[T]) command() *cobra.Command {
	var region string
	var out output
	cmd := &cobra.Command{
		Use: q.verb + " NAME", Short: q.short, Long: q.long, Args: args(1, "the name of an account"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := dial(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			answer, err := q.ask(cmd.Context(), client, args[0], region)
			if err != nil {
				return err
			}
			if err := out.print(cmd.OutOrStdout(), q.value(answer), func(t *table) { q.rows(t, answer) }); err != nil {
				return err
			}
			if q.faults == nil {
				return nil
			}
			return cloudFaults(q.faults(answer))
		},
	}
	if q.region != "" {
		cmd.Flags().StringVar(&region, "region", "", q.region)
	}
	out.register(cmd)
	return cmd
}

// cloudFaults is an error with a line for each fault, or nil.
func cloudFaults(faults []api.CloudFault) error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = oneLine(f.Error())
	}
	if len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

const ownRegion = "`REGION` to look at (default: the account's own)"

func newCloudCheck() *cobra.Command {
	return cloudQuestion[api.CloudCheck]{
		verb: "check", short: "try whether an account works",
		long: `check has the server try what a plan and an apply need of an account: its
credentials, and in one region the machine types, images, lists and quotas. It
changes nothing. It exits with 1 if anything is wrong.`,
		region: ownRegion,
		ask: func(ctx context.Context, c *api.Client, name, region string) (api.CloudCheck, error) {
			return c.CheckCloud(ctx, name, region)
		},
		value: func(a api.CloudCheck) any { return a },
		rows:  checkRows,
		faults: func(a api.CloudCheck) []api.CloudFault {
			var faults []api.CloudFault
			for _, f := range a.Findings {
				if f.Fault != nil {
					faults = append(faults, *f.Fault)
				}
			}
			return faults
		},
	}.command()
}

func checkRows(t *table, a api.CloudCheck) {
	t.head("CHECK", "REGION", "RESULT", "SEEN")
	for _, f := range a.Findings {
		result, seen := "ok", f.Detail
		if !f.OK {
			result, seen = "failed", ""
			if f.Fault != nil {
				seen = strings.TrimSpace(f.Fault.Code + " " + f.Fault.Message)
			}
		}
		t.row(f.Check, f.Region, result, seen)
	}
	if len(a.Quotas) > 0 {
		t.head("QUOTA", "USED", "LIMIT")
		for _, q := range a.Quotas {
			limit := "none"
			if q.Limit >= 0 {
				limit = fmt.Sprint(q.Limit)
			}
			t.row(q.Name, fmt.Sprint(q.Used), limit)
		}
	}
	text := "works"
	if !a.OK {
		text = "does not work as it should"
	}
	t.note(fmt.Sprintf("%s (%s) %s; it can do: %s", a.Cloud, a.Provider, text, nodeDash(strings.Join(a.Capabilities, ", "))))
}

func newCloudRegions() *cobra.Command {
	return cloudQuestion[api.CloudRegions]{
		verb: "regions", short: "list the regions of an account",
		ask: func(ctx context.Context, c *api.Client, name, _ string) (api.CloudRegions, error) {
			return c.CloudRegions(ctx, name)
		},
		value: func(a api.CloudRegions) any { return a.Regions },
		rows: func(t *table, a api.CloudRegions) {
			t.head("REGION", "DEFAULT", "ZONES")
			for _, r := range a.Regions {
				own := ""
				if r.Default {
					own = "yes"
				}
				t.row(r.Name, own, strings.Join(r.Zones, ","))
			}
		},
	}.command()
}

func newCloudSpecs() *cobra.Command {
	return cloudQuestion[api.CloudSpecs]{
		verb: "specs", short: "list the machine types of a region, smallest first",
		region: ownRegion,
		ask: func(ctx context.Context, c *api.Client, name, region string) (api.CloudSpecs, error) {
			return c.CloudSpecs(ctx, name, region)
		},
		value: func(a api.CloudSpecs) any { return a.Specs },
		rows: func(t *table, a api.CloudSpecs) {
			t.head("SPEC", "VCPU", "MEMORY", "PER HOUR")
			for _, s := range a.Specs {
				t.row(s.Name, fmt.Sprint(s.VCPU), memory(s.MemoryMiB), price(s.CostPerHour))
			}
		},
	}.command()
}

// memory prints a size as specs write it.
func memory(mib int) string {
	if mib%1024 == 0 {
		return fmt.Sprintf("%dGiB", mib/1024)
	}
	return fmt.Sprintf("%dMiB", mib)
}

func newCloudImages() *cobra.Command {
	return cloudQuestion[api.CloudImages]{
		verb: "images", short: "list the images of a region",
		long: `images lists what the image of a group may be: an alias, which is the same on
every cloud, a name or an id. A public cloud's images are those with an alias.`,
		region: ownRegion,
		ask: func(ctx context.Context, c *api.Client, name, region string) (api.CloudImages, error) {
			return c.CloudImages(ctx, name, region)
		},
		value: func(a api.CloudImages) any { return a.Images },
		rows: func(t *table, a api.CloudImages) {
			t.head("ALIAS", "NAME", "ID", "CREATED")
			for _, m := range a.Images {
				t.row(m.Alias, m.Name, m.ID, date(m.Created))
			}
		},
	}.command()
}

func newCloudInventory() *cobra.Command {
	return cloudQuestion[api.CloudInventory]{
		verb: "inventory", short: "list what an account holds of this mesh",
		long: `inventory lists everything in the account that bears the mark of the server's
mesh, with the MCIS it belongs to, or "orphan" if the server knows none. Regions
that do not answer are named on standard error, and the exit code is 1.`,
		region: "only this `REGION` (default: all)",
		ask: func(ctx context.Context, c *api.Client, name, region string) (api.CloudInventory, error) {
			return c.CloudInventory(ctx, name, region)
		},
		value:  func(a api.CloudInventory) any { return a.Objects },
		faults: func(a api.CloudInventory) []api.CloudFault { return a.Failed },
		rows: func(t *table, a api.CloudInventory) {
			t.head("REGION", "MCIS", "KIND", "ID", "NAME", "NODE", "STATE", "PUBLIC", "PRIVATE", "CREATED")
			for _, o := range a.Objects {
				t.row(o.Region, o.MCIS, o.Kind, o.ID, o.Name, o.Node, o.State, o.PublicIP, o.PrivateIP, date(o.Created))
			}
		},
	}.command()
}

// date prints a time in the user's zone, or nothing.
func date(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format(time.DateTime)
}
