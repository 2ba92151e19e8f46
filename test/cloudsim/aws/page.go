package aws

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// maxPage is the most that a page of an answer may hold.
const maxPage = 1000

// page cuts the part of rows that a request with MaxResults and NextToken asks
// for, and returns the token of the rest, "" when there is none.
func page[T any](q *node, rows []T) ([]T, string, error) {
	size, err := q.number("MaxResults", 0)
	if err != nil {
		return nil, "", err
	}
	if q.has("MaxResults") && (size < 1 || size > maxPage) {
		return nil, "", fault(400, "InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than 0 and at most %d.", size, maxPage)
	}
	from := 0
	if token := q.str("NextToken"); token != "" {
		if from, err = parsePage(token); err != nil || from > len(rows) {
			return nil, "", fault(400, "InvalidNextToken", "Invalid value '%s' for nextToken.", token)
		}
	}
	rows = rows[from:]
	if size == 0 || len(rows) <= size {
		return rows, "", nil
	}
	token := base64.RawURLEncoding.EncodeToString([]byte("at:" + strconv.Itoa(from+size)))
	return rows[:size], token, nil
}

// parsePage reads a token that page made.
func parsePage(token string) (int, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(string(raw), "at:"))
	if err != nil || n < 0 {
		return 0, strconv.ErrRange
	}
	return n, nil
}
