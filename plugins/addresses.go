package plugins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/rules"
)

// settingURLs returns the URLs in the settings that the manifest's hosts refer
// to, by the name of the setting.
func (m *Module) settingURLs(settings map[string]any) map[string][]*url.URL {
	found := map[string][]*url.URL{}
	for _, h := range m.manifest.Hosts {
		value, named := setting(h, settings)
		if !named {
			continue
		}
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		name := strings.Trim(h, "{}")
		for _, v := range values {
			text, _ := v.(string)
			if text != "" && !strings.Contains(text, "://") {
				text = "https://" + text
			}
			if u, err := url.Parse(text); err == nil && u.Host != "" {
				found[name] = append(found[name], u)
			}
		}
	}
	return found
}

// CheckAddresses reports the hosts in a tenant's settings that every login would
// be refused at: over http, or at addresses that are never asked, and not among
// the private hosts, or not among the tenant's own hosts. It resolves names; one
// that does not resolve now is not reported.
func (h *Host) CheckAddresses(ctx context.Context, p upstream.Provider) error {
	b, ok := p.(*bound)
	if !ok {
		return nil
	}
	now := b.current.Load()
	settings, _, err := now.module.settings.fill(now.binding.Settings)
	if err != nil {
		return err
	}
	faults := now.module.undeclared(settings, now.binding.Hosts)
	if len(faults) == 0 && len(now.binding.Hosts) > 0 && len(now.hosts) == 0 {
		faults = append(faults, errors.New("hosts: none of them is a host of this upstream, so nothing can be asked; name those of its endpoints, or take hosts out"))
	}
	for name, urls := range now.module.settingURLs(settings) {
		for _, u := range urls {
			u.Host = strings.ToLower(u.Host)
			if err := left(now.binding.Hosts, name, u); err != nil {
				faults = append(faults, err)
			}
			if err := cmp.Or(h.cfg.Fetch.CheckHost(u), h.cfg.Fetch.CheckAddress(ctx, u)); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w (plugins/private_hosts)", name, err))
			}
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

// left reports a URL of the settings whose host a tenant's list of hosts leaves
// out. The authorization endpoint is not one: browsers ask it, and the server does
// not.
func left(own []string, name string, u *url.URL) error {
	host := u.Host
	if len(own) == 0 || strings.Contains(name, "authorize") || slices.ContainsFunc(own, func(o string) bool { return sameHost(o, host) }) {
		return nil
	}
	return fmt.Errorf("%s: %s is not among the tenant's hosts, so it is never asked; add it to hosts of the tenant, or take hosts out", name, host)
}

// undeclared lists the hosts of a tenant's own list that the plugin never asks.
func (m *Module) undeclared(settings map[string]any, own []string) (faults []error) {
	declared, err := rules.Hosts(m.manifest.Hosts, settings)
	if err != nil {
		return nil // binding has reported it
	}
	for _, host := range without(own, common(own, declared)) {
		faults = append(faults, fmt.Errorf("hosts: %s is not one of the hosts that the plugin asks with these settings; correct it, or take it out", host))
	}
	return faults
}
