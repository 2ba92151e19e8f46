// Package cloud is the contract between cbnet and the clouds it creates
// machines on. It holds no implementation and imports no SDK: the drivers are
// in the folders below it, each of which confines one vendor's SDK, and
// cloud/providers turns a configuration into one of them.
//
// What not every cloud has is a capability of its own, found by [As].
//
// # What a driver is not
//
// A [Driver] knows no policy. It does not retry, does not limit its rate, does
// not wait for a machine to boot or to vanish, writes no log and remembers
// nothing that would be missed after a crash. All of that is written once,
// above the drivers: cloud/guard repeats and paces calls, mcis journals,
// waits by batched lists and decides what to create and to delete. The retries
// of the vendors' SDKs are switched off, because a repeat below the look-up
// makes a double when an answer was lost.
//
// # Context, time and concurrency
//
// Every method ends when its context does, and returns an error that wraps the
// context's error and [ErrUnavailable], since the call may have taken effect.
// All methods are safe for concurrent use. Calls for different machines, MCIS
// or regions do not influence each other. Two calls of EnsureNetwork for the
// same owner and name, or of CreateVM for the same token, must not run at the
// same time: most clouds have nothing that would keep them from both creating.
// A call lasts as long as its requests do; constructors make no request.
//
// # Idempotency
//
// EnsureNetwork and CreateVM look for what an earlier call left before they
// create anything, and every create carries the owner's mark (or the natural
// key) in the same request. So after any error, any lost answer and any kill
// the same call may simply be made again: it adopts what is there, completes
// what is missing and returns the same ids. CreateVM honours VMSpec.Token: one
// token is one machine for ever, and a machine that has been deleted since is
// returned as [VMDeleting] or [VMFailed] while the cloud still knows it. A
// deliberate new machine needs a new token. The same token with another
// request is [ErrConflict] where the cloud can tell.
//
// Where the cloud has idempotency tokens the driver passes VMSpec.Token on.
// Where it has none a natural key takes their place: on OpenStack the port
// with the planned VMSpec.PrivateIP, which Neutron gives out only once.
//
// # The mark of ownership
//
// Everything a driver creates (KindGroup included) bears [KeyMesh] and [KeyMCIS], machines also
// [KeyNode] and [KeyToken]: as tags, labels or metadata where the create call
// takes them, else as the description ([Owner.Description]). List returns
// nothing without the mark. Delete looks the object up by its id, compares the
// mark with Resource.Owner and refuses with [ErrOwner] what bears none or
// another's.
//
// # Eventual consistency
//
// A cloud may not show for some seconds what it has just created. A driver
// reports a step that failed for this reason as [ErrNotFound] (the object it
// refers to is not there yet) or [ErrUnavailable] (a name is taken that no
// look-up shows yet); both pass when the call is made again. List may lag in
// the same way: what it does not show is gone only if it was shown before or
// some time has passed. And Delete may find nothing of an id that List shows
// already, and return nil: ask again for as long as it is listed.
//
// Late failures are states, not errors: a machine that the cloud accepted and
// then could not start is listed as [VMFailed] with the vendor's words in
// VM.Reason.
//
// # Deleting
//
// Delete is asked in the order of [DeleteOrder] and never waits. It returns nil
// when the object is gone, never existed or has begun to go, and [ErrInUse]
// while something still depends on it, for instance a subnet on a machine that
// is still shutting down: ask again at the next tick. A thing is gone for
// certain when List no longer shows it.
//
// # Errors
//
// Errors wrap one of the classes in errors.go, or none if the vendor's code is
// not known, which callers treat as permanent. They are found by errors.Is;
// the vendor's code, message and request id are in the [*APIError]. Classes
// come from HTTP statuses and the vendors' codes, never from texts.
//
//	ErrNotFound     an object named in the call does not exist, or not yet
//	ErrConflict     name, address or token is taken by something else
//	ErrInUse        Delete, Start, Stop: not in this state; ask again later
//	ErrQuota        the account's limit; a human must raise it
//	ErrCapacity     none left here; another zone or type may do
//	ErrThrottled    not executed; repeat after APIError.After
//	ErrUnavailable  perhaps executed; repeat the whole method
//	ErrAuth         wrong or expired credentials, or not permitted
//	ErrInvalid      the request itself; repeating does not help
//	ErrOwner        Delete: the mark is missing or another's
//
// What can be seen without asking the cloud (over-long names and user-data, a
// missing address) is ErrInvalid before any request is made.
//
// # Labels
//
// VMSpec.Labels are tags of the user's beside the mark. A cloud that takes any
// text has them as they are; where the alphabet is narrow, keys and values go
// through [EncodeLabel]. List returns them as the user wrote them
// ([UserLabels], [DecodeLabel]).
//
// # Keys
//
// NetworkSpec.SSHKey is made known to the cloud with the network. Where the
// cloud has key pairs, one is made for the network (KindKey, marked) and its
// name is Network.Key; where machines carry the key themselves, Network.Key is
// the key. A driver whose cloud takes some types of keys only has [KeyTypes], and
// refuses the others before any call ([CheckSSHKeyType]).
//
// # Addresses
//
// VMSpec.PrivateIP is planned by the caller. [VMAddr] numbers the addresses of
// a subnet that every cloud leaves free: clouds keep the first four and the
// last few for gateways, DHCP and themselves.
package cloud
