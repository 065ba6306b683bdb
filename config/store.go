package config

import "errors"

// StoreAddress reads the address of a store as the key store takes it, for
// commands that have one on their command line: interpolated, so that a password
// need not stand there, and checked. The error quotes nothing.
func StoreAddress(text string, variables []string) (Secret, error) {
	l := newLoader()
	l.environ = environ(variables)
	value, what := l.interpolate(text)
	if what == nil {
		what = checkStore(value)
	}
	if what != nil {
		return Secret{}, errors.New(Fault{Problem: what.what, Remedy: what.remedy}.String())
	}
	return NewSecret(value), nil
}
