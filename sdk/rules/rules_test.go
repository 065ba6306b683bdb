package rules_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

func TestProviderNames(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"a": true, "acme": true, "acme-2": true, strings.Repeat("a", 63): true,
		"": false, "acme-": false, "-acme": false, "9acme": false, "Acme": false, "acme_2": false, "acme.x": false, "äcme": false,
		"acme\n": false, strings.Repeat("a", 64): false,
	} {
		if err := rules.CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHostsFromSettings(t *testing.T) {
	t.Parallel()
	got, err := rules.Hosts([]string{"a.example", "{settings.url}", "{settings.list}", "{settings.empty}", "{settings.missing}"}, map[string]any{
		"url": "https://B.example/x", "list": []any{"c.example", "http://localhost:8080", "d.example:8443"}, "empty": "",
	})
	if err != nil || strings.Join(got, " ") != "a.example b.example:443 c.example localhost:8080 d.example:8443" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []any{"ftp://a.example", "a b", "https://", 7.0} {
		if got, err := rules.Hosts([]string{"{settings.x}"}, map[string]any{"x": bad}); err == nil || !strings.HasPrefix(err.Error(), "settings.x: ") {
			t.Errorf("%v: %q, %v", bad, got, err)
		}
	}
}

func TestOperationsThatTheHostCalls(t *testing.T) {
	t.Parallel()
	none, both := abi.Manifest{}, abi.Manifest{Capabilities: abi.Capabilities{Refresh: true, Revoke: true}}
	for _, op := range []string{abi.OpDescribe, abi.OpCheck, abi.OpAuthorize, abi.OpExchange, abi.OpRefresh, abi.OpRevoke} {
		optional := op == abi.OpRefresh || op == abi.OpRevoke
		if err := rules.CheckOperation(op, none); (err != nil) != optional {
			t.Errorf("%s: %v", op, err)
		}
		if err := rules.CheckOperation(op, both); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}
