// Package mcis makes and removes multi-cloud infrastructure services: named
// sets of virtual machines on several clouds that join one mesh.
//
// A YAML document becomes a [Spec] ([ParseSpec], every fault at once with its
// line), a Spec becomes a [Plan] (what will be made where, and what it costs),
// and [Service.Apply] carries the plan out: one pipeline for each region of
// each cloud, without a barrier between them. A node counts as ready when its
// daemon has joined the mesh.
//
// # Nothing is lost
//
// Every step that changes a cloud is written to the [Store] before the call,
// with its idempotency token and the exact request, and with the id after it.
// [Service.Run] resumes whatever was under way when an earlier process ended,
// at any point of it: an open entry is looked up in the cloud and adopted, and
// only if it is not there the same request is sent again with the same token.
// Delete works from the recorded ids and from the cloud's own lists of what
// bears the owner's mark, and ends when the lists are empty.
//
// # What it is not
//
// It knows no cloud (see package cloud), holds no certificate authority (see
// [Enroller]) and sees the mesh only through [Members]. Retries within one
// call, rate limits and budgets belong to the drivers it is given.
//
// # Concurrency
//
// All methods of [Service] may be called at the same time. The work itself is
// done by the goroutines of [Service.Run]; without Run, Apply and Delete only
// record what is wanted.
package mcis
