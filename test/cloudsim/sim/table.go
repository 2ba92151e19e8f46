package sim

import "slices"

// Table holds the objects of one kind by id, in the order in which they were
// added. The zero value is empty and usable. It does no locking.
type Table[T any] struct {
	ids  []string
	rows map[string]T
}

// Put adds a row, or replaces the row of that id in its place.
func (t *Table[T]) Put(id string, row T) {
	if t.rows == nil {
		t.rows = map[string]T{}
	}
	if _, ok := t.rows[id]; !ok {
		t.ids = append(t.ids, id)
	}
	t.rows[id] = row
}

// Get returns the row of an id.
func (t *Table[T]) Get(id string) (T, bool) {
	row, ok := t.rows[id]
	return row, ok
}

// Delete removes a row. Removing what is not there does nothing.
func (t *Table[T]) Delete(id string) {
	if _, ok := t.rows[id]; !ok {
		return
	}
	delete(t.rows, id)
	t.ids = slices.DeleteFunc(t.ids, func(s string) bool { return s == id })
}

// All returns the rows, oldest first.
func (t *Table[T]) All() []T {
	rows := make([]T, 0, len(t.ids))
	for _, id := range t.ids {
		rows = append(rows, t.rows[id])
	}
	return rows
}

// Where returns the rows that satisfy keep, oldest first.
func (t *Table[T]) Where(keep func(T) bool) []T {
	var rows []T
	for _, id := range t.ids {
		if row := t.rows[id]; keep(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// Any reports whether a row satisfies cond.
func (t *Table[T]) Any(cond func(T) bool) bool {
	for _, row := range t.rows {
		if cond(row) {
			return true
		}
	}
	return false
}

// Len returns the number of rows.
func (t *Table[T]) Len() int { return len(t.ids) }
