package account

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// clockWords are what clouds say when a request's time is too far from theirs:
// AWS (Common Errors of every service; "Signature expired: ..." beside
// SignatureDoesNotMatch), Alibaba's RPC, Entra ID, and Google's token endpoint.
var clockWords = []string{
	"RequestExpired", "RequestTimeTooSkewed", "Signature expired", "Signature not yet current",
	"InvalidTimeStamp", "IllegalTimestamp",
	"AADSTS700024",
	"reasonable timeframe",
}

// Hint says what a user can do about an error of a cloud, or "".
func Hint(err error, now time.Time) string {
	text := err.Error()
	for _, w := range clockWords {
		if strings.Contains(text, w) {
			return fmt.Sprintf("the cloud finds the request's time wrong: set the clock of cbserver's host, which says %s", now.UTC().Format(time.RFC3339))
		}
	}
	var api *cloud.APIError
	switch {
	case errors.Is(err, cloud.ErrAuth):
		return "give it other credentials: cbctl cloud add with the same name and --credentials FILE"
	case errors.Is(err, cloud.ErrQuota):
		return "the account's limit is reached; the vendor raises it on request"
	case errors.Is(err, cloud.ErrThrottled):
		return "the cloud takes no more calls for now; try again later"
	case errors.Is(err, cloud.ErrUnavailable) && errors.As(err, &api) && api.Status == 0:
		return "no answer came: see that cbserver's host reaches the endpoint"
	}
	return ""
}
