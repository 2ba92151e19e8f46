package remote

// BodyTimeout is for tests.
const BodyTimeout = bodyTimeout
