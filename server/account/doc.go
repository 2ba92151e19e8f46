// Package account looks at an account of a cloud for its user: whether its
// credentials work and what it offers, what it holds of this mesh, and what of
// that belongs to nobody any more and is to be swept away.
//
// An account has many regions. They are asked a few at a time, and what one of
// them fails with stands beside what the others answered: nothing is hidden by
// the first error.
package account
