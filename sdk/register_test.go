package sdk

import (
	"strings"
	"testing"
)

type nameless struct{ Provider }

// TestRegisterMistakesAreNamed calls the module as its export does.
func TestRegisterMistakesAreNamed(t *testing.T) {
	head := `{"op":"describe"}`
	call := func() string { return string(Run(registered, []byte(string([]byte{byte(len(head)), 0, 0, 0})+head))) }
	t.Cleanup(func() { registered = nil })
	if got, want := call(), "registers no provider"; !strings.Contains(got, want) {
		t.Errorf("without Register: %s, want %s", got, want)
	}
	Register(nameless{})
	Register(nameless{})
	if got, want := call(), "calls sdk.Register more than once"; !strings.Contains(got, want) {
		t.Errorf("with two calls of Register: %s, want %s", got, want)
	}
}
