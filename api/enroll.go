package api

// EnrollRequest is what a node sends to POST /v1/enroll to swap its one-time
// token for a certificate. The node makes its key first and keeps it: the same
// request, sent again, gets the same certificate again.
type EnrollRequest struct {
	Format int    `json:"format"`
	Token  string `json:"token"` // the secret part of the token
	CSR    []byte `json:"csr"`   // PKCS #10, DER, signed with the node's key

	// A newer node may say more than this server knows.
	_ struct{} `additionalProperties:"true"`
}

// EnrollResponse is a bundle without the private key.
type EnrollResponse struct {
	Format      int      `json:"format"`
	Certificate []byte   `json:"certificate"`           // X.509, DER
	CAs         [][]byte `json:"cas"`                   // X.509, DER, the mesh's certificate authorities
	Introducers []string `json:"introducers"`           // HOST:PORT
	Revocations []byte   `json:"revocations,omitempty"` // signed list, see identity
}
