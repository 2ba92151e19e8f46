package api

// RenewRequest is what a node sends to POST /v1/renew for a new certificate of
// the key it has. The CSR is signed with that key, which proves that the node
// holds it; the grant comes from the server's records, never from the request.
// The answer is an [EnrollResponse].
type RenewRequest struct {
	Format      int    `json:"format"`
	Certificate []byte `json:"certificate" maxLength:"16384"` // X.509, DER: valid, not revoked
	CSR         []byte `json:"csr" maxLength:"16384"`         // PKCS #10, DER

	// A newer node may say more than this server knows.
	_ struct{} `additionalProperties:"true"`
}
