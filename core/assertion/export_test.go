package assertion

// Kept is how many assertions i holds.
func Kept(i *Issuer) int { return len(i.young) + len(i.old) }
