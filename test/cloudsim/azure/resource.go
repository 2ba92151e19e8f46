package azure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/google/uuid"
)

// The provisioning states of a resource.
const (
	stateCreating  = "Creating" // of machines; those of Network are Updating
	stateUpdating  = "Updating"
	stateSucceeded = "Succeeded"
	stateFailed    = "Failed"
	stateDeleting  = "Deleting"
)

// resource is what all kinds of resources have.
type resource struct {
	path
	location string
	tags     map[string]*string
	zones    []*string
	state    string
	guid     string
	seq      int         // in the order of creation
	hidden   func() bool // not found by its id yet
}

// concealed tells whether it is not found by its id yet.
func (r *resource) concealed() bool { return r.hidden != nil && r.hidden() }

// etag changes when what is shown does.
func (r *resource) etag(more ...any) *string {
	sum := sha256.Sum256(fmt.Append(nil, r.id(), r.state, tagText(r.tags), more))
	return ptr(`W/"` + hex.EncodeToString(sum[:8]) + `"`)
}

func tagText(tags map[string]*string) map[string]string {
	m := map[string]string{}
	for k, v := range tags {
		m[k] = or(v, "")
	}
	return m
}

// newResource checks what all kinds of resources have in common: the name, the
// region, and the tags.
func (c *call) newResource(location *string, tags map[string]*string, zones []*string, limit int) (resource, *apiError) {
	if n := utf8.RuneCountInString(c.path.name); n > limit || !nameRule.MatchString(c.path.name) {
		return resource{}, fault(400, "InvalidResourceName", "Resource name %s is invalid. The name can be up to %d characters long. It must begin with a word character, and it must end with a word character or with '_'.", c.path.name, limit)
	}
	r, err := c.place(location, c.path.provider+"/"+c.path.kind)
	if err != nil {
		return resource{}, err
	}
	if err := checkTags(tags); err != nil {
		return resource{}, err
	}
	for _, z := range zones {
		if n, err := strconv.Atoi(or(z, "")); err != nil || n < 1 || n > r.zones {
			return resource{}, fault(400, "AvailabilityZoneNotSupported", "The zone(s) '%s' for resource '%s' is not supported. The supported zones for location '%s' are '%s'",
				or(z, ""), c.path.id(), r.name, strings.Join(r.zoneNames(), ","))
		}
	}
	c.created++
	return resource{path: c.path, location: r.name, tags: maps.Clone(tags), zones: zones, state: stateUpdating, guid: uuid.NewString(), seq: c.created}, nil
}

var nameRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

// place reads a region.
func (c *call) place(location *string, kind string) (*region, *apiError) {
	if or(location, "") == "" {
		return nil, fault(400, "LocationRequired", "The location property is required for this definition.")
	}
	r := c.regionOf(*location)
	if r == nil {
		return nil, fault(400, "LocationNotAvailableForResourceType", "The provided location '%s' is not available for resource type '%s'. List of available regions for the resource type is '%s'.",
			*location, kind, strings.Join(c.regionNames(), ","))
	}
	return r, nil
}

// checkTags checks tags as ARM does:
// https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations
func checkTags(tags map[string]*string) *apiError {
	if len(tags) > 50 {
		return fault(400, "TooManyTags", "The number of tags '%d' exceeds the limit of 50.", len(tags))
	}
	seen := map[string]bool{}
	for k, v := range tags {
		low := strings.ToLower(k)
		switch {
		case k == "" || utf8.RuneCountInString(k) > 512:
			return fault(400, "InvalidTagName", "The tag name '%.40s' is empty or longer than 512 characters.", k)
		case strings.ContainsAny(k, `<>%&\?/`):
			return fault(400, "InvalidTagNameCharacters", `The tag names '%s' have reserved characters '<,>,%%,&,\,?,/' or control characters.`, k)
		case strings.HasPrefix(low, "microsoft"), strings.HasPrefix(low, "azure"), strings.HasPrefix(low, "windows"):
			return fault(400, "ReservedTagNamePrefix", "The tag name '%s' has a reserved prefix.", k)
		case utf8.RuneCountInString(or(v, "")) > 256:
			return fault(400, "InvalidTagValueLength", "Tag value too large. Following tag value '%.20s...' exceeded the maximum length. Maximum allowed length for tag value - '256' characters.", or(v, ""))
		case seen[low]:
			return fault(400, "DuplicateTagName", "The tag name '%s' is there twice in different cases.", k)
		}
		seen[low] = true
	}
	return nil
}

// same tells whether a PUT is for the resource that is there: a region cannot be
// changed.
func (r *resource) same(n resource) *apiError {
	if r.location != n.location {
		return fault(409, "InvalidResourceLocation", "The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.",
			r.name, r.location, r.group, n.location)
	}
	switch r.state {
	case stateUpdating, stateDeleting:
		return busy(r.id())
	}
	return nil
}

// accepted returns the response of a fake server to something that was
// accepted or done.
func accepted[T any](status int, body T) (resp fake.PollerResponder[T], err fake.ErrorResponder) {
	resp.SetTerminalResponse(status, body, nil)
	return resp, err
}

// refused returns the response of a fake server to what was refused.
func refused[T any](e *apiError) (resp fake.PollerResponder[T], err fake.ErrorResponder) {
	err.SetError(e)
	return resp, err
}

// done and denied are the same for what is answered at once.
func done[T any](status int, body T) (resp fake.Responder[T], err fake.ErrorResponder) {
	resp.SetResponse(status, body, nil)
	return resp, err
}

func denied[T any](e *apiError) (resp fake.Responder[T], err fake.ErrorResponder) {
	err.SetError(e)
	return resp, err
}

// numbered is what can be listed: rows are in the order of their numbers.
type numbered interface{ number() int }

func (r *resource) number() int { return r.seq }

// page returns one page of a listing, and the link to the next one. Its
// $skiptoken is the number of the last row, so that nothing is left out when
// rows come and go in between.
func page[T numbered, D any](c *call, rows []T, show func(T) D) ([]D, *string) {
	q := c.req.URL.Query()
	after, err := strconv.Atoi(q.Get("$skiptoken"))
	if err != nil {
		after = -1
	}
	out := []D{} // "value": []
	for _, r := range rows {
		switch {
		case r.number() <= after:
		case len(out) == c.opts.PageSize:
			q.Set("$skiptoken", strconv.Itoa(after))
			return out, ptr(c.opts.URL + c.req.URL.Path + "?" + q.Encode())
		default:
			out, after = append(out, show(r)), r.number()
		}
	}
	return out, nil
}

// pager returns the response of a fake server to a listing.
func pager[T any](body T) (resp fake.PagerResponder[T]) {
	resp.AddPage(200, body, nil)
	return resp
}

func ptr[T any](v T) *T { return &v }

// or returns what p points to, def for nil.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
