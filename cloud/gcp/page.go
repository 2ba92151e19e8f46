package gcp

import (
	"errors"

	"google.golang.org/api/iterator"
)

// each calls do with every item of one of the SDK's iterators, through all
// pages.
func each[T any](next func() (T, error), do func(T)) error {
	for {
		item, err := next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return err
		}
		do(item)
	}
}
