package alibaba

import (
	"slices"
	"strconv"
)

// page cuts a page of a listing, by number and size, and prints it with where
// it is. The most a page can hold and what it holds unless told are the API's.
func page[T any](q query, rows []T, most, usual int) ([]T, obj, error) {
	number, err := q.number("PageNumber", 1)
	if err != nil {
		return nil, nil, err
	}
	size, err := q.number("PageSize", usual)
	if err != nil {
		return nil, nil, err
	}
	if number < 1 {
		return nil, nil, invalid("PageNumber", q.str("PageNumber"))
	}
	if size < 1 || size > most {
		return nil, nil, invalid("PageSize", q.str("PageSize"))
	}
	at := obj{"TotalCount": len(rows), "PageNumber": number, "PageSize": size}
	from := min((number-1)*size, len(rows))
	return rows[from:min(from+size, len(rows))], at, nil
}

// following cuts a page of a listing by the token of the page before. The token
// is the id of the last object that was seen; rows come in the order of ids.
func following[T any](q query, rows []T, id func(T) string, most int) ([]T, obj, error) {
	size, err := q.number("MaxResults", most)
	if err != nil {
		return nil, nil, err
	}
	if size < 1 || size > most {
		return nil, nil, invalid("MaxResults", q.str("MaxResults"))
	}
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b T) int { return compareText(id(a), id(b)) })
	if after := q.str("NextToken"); after != "" {
		rows = slices.DeleteFunc(rows, func(r T) bool { return id(r) <= after })
	}
	next := ""
	if len(rows) > size {
		rows = rows[:size]
		next = id(rows[size-1])
	}
	return rows, obj{"NextToken": next, "MaxResults": size, "TotalCount": len(rows)}, nil
}

// paged cuts a page in whichever way the request asks for.
func paged[T any](q query, rows []T, id func(T) string, most int) ([]T, obj, error) {
	if q.str("MaxResults") != "" || q.str("NextToken") != "" {
		return following(q, rows, id, most)
	}
	return page(q, rows, most, 10)
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func itoa(n int) string { return strconv.Itoa(n) }
