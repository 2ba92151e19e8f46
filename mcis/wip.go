package mcis

import "context"

// Plan returns what an apply of spec would do now, without doing anything. The
// error is [Faults] when the spec is wrong against the server or the clouds.
func (s *Service) Plan(ctx context.Context, spec Spec) (Plan, error) {
	return Plan{MCIS: spec.Name}, s.Validate(ctx, spec)
}
