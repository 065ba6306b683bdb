// Package rules holds the checks that a host makes of what a provider is, asks
// for and answers. The host makes them when it serves, sdk/sdktest and the
// command plugin test when an author tries a provider out, and the configuration
// makes the one about names, so that all of them refuse the same in the same
// words. It imports the standard library and package abi. A provider does not
// import it: a module would grow by what only hosts need.
//
// Which hosts are private and where a secret may go depend on the server; those
// checks are the host's alone.
package rules

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

// NameForm says what a provider's name may be.
const NameForm = "use 1 to 63 lower-case letters, digits and hyphens, a letter first and no hyphen last"

// CheckName reports what is wrong with a provider's name.
func CheckName(name string) error {
	if len(name) > 63 || name == "" || name[0] < 'a' || name[0] > 'z' || strings.HasSuffix(name, "-") {
		return errors.New(NameForm)
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errors.New(NameForm)
		}
	}
	return nil
}

// HostForm says what an entry of a manifest's hosts may be.
const HostForm = "use host, host:port or {settings.NAME}, in lower case"

// CheckHost reports what is wrong with an entry of a manifest's hosts.
func CheckHost(host string) error {
	if !regexp.MustCompile(`^(\{settings\.[A-Za-z0-9_-]+\}|[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?)$`).MatchString(host) {
		return errors.New(HostForm)
	}
	return nil
}

// Hosts fills settings into a manifest's hosts: each names a host, a URL or a
// list of them. An entry that is empty is left out.
func Hosts(hosts []string, settings map[string]any) ([]string, error) {
	var out []string
	for _, h := range hosts {
		name, setting := strings.CutPrefix(h, "{settings.")
		name, closed := strings.CutSuffix(name, "}")
		if !setting || !closed {
			out = append(out, h)
			continue
		}
		values, ok := settings[name].([]any)
		if !ok && settings[name] != nil {
			values = []any{settings[name]}
		}
		for _, v := range values {
			s, ok := v.(string)
			if ok && s == "" {
				continue
			}
			host, err := hostOf(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", strings.Trim(h, "{}"), err)
			}
			out = append(out, host)
		}
	}
	return out, nil
}

// hostOf reads a host, host:port or URL.
func hostOf(value string) (string, error) {
	host := strings.ToLower(value)
	if strings.Contains(host, "://") {
		u, err := url.Parse(host)
		if err != nil || u.Hostname() == "" {
			return "", errors.New("this is not a URL with a host; use one like https://example.com")
		}
		if defaultPort(u.Scheme) == "" {
			return "", errors.New("use an https URL")
		}
		return hostPort(u), nil
	}
	if CheckHost(host) != nil {
		return "", errors.New("use a host like example.com, host:port, or an https URL")
	}
	return host, nil
}

// Kinds are the error kinds, which are a closed set.
func Kinds() []string {
	return []string{
		abi.KindAccessDenied, abi.KindInvalidGrant, abi.KindInvalidScope, abi.KindInteractionRequired,
		abi.KindRateLimited, abi.KindUnavailable, abi.KindMisconfigured, abi.KindBug,
	}
}

// CheckKind reports that a kind is not one of Kinds.
func CheckKind(kind string) error {
	if !slices.Contains(Kinds(), kind) {
		return fmt.Errorf("unknown error kind %q; use one of %s", kind, strings.Join(Kinds(), ", "))
	}
	return nil
}

// CheckOperation reports that the host never calls an operation, because the
// manifest's capabilities leave it out.
func CheckOperation(op string, m abi.Manifest) error {
	if op == abi.OpRefresh && !m.Capabilities.Refresh || op == abi.OpRevoke && !m.Capabilities.Revoke {
		return fmt.Errorf("the host never calls %s: set the capability %s in the manifest", op, op)
	}
	return nil
}
