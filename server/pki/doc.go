// Package pki is the control plane's registry office: it holds the mesh's
// certificate authority, numbers the nodes, invites them with one-time tokens,
// certifies their keys, renews and revokes.
//
// # An enrolment
//
//	mcis          pki                    store            VM
//	 |  Invite     |                       |               |
//	 |------------>| address, hash(secret) |               |
//	 |             |---------------------->|               |
//	 |<---token----|                       |               |
//	 |---------------------- user-data with the token ---->|
//	 |             |<----------- Enroll: secret, CSR ------|
//	 |             | key bound, certificate|               |
//	 |             |---------------------->|               |
//	 |             |------------ certificate ------------->|
//	 |  Close      |                       |               |
//	 |------------>|  joined: no more use  |               |
//
// The certificate is stored before it is answered: whoever asks again with the
// same key gets the same certificate, so a lost answer does no harm. Another key
// is refused, audited and logged. Nobody who only reads the store can enrol: it
// holds the hash of the secret, and the CA's key sealed.
//
// # What it is not
//
// It serves no HTTP and knows no cloud; package server does. Decisions about
// time are made with the clock of the machine it runs on.
//
// A [Service] is safe for concurrent use, also by several servers on one store:
// every change is one transaction that fails when another was faster, and is
// then tried again.
package pki
