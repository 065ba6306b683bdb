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
// the private hosts. It resolves names; one that does not resolve now is not
// reported.
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
	var faults []error
	for name, urls := range now.module.settingURLs(settings) {
		for _, u := range urls {
			u.Host = strings.ToLower(u.Host)
			if err := cmp.Or(h.cfg.Fetch.CheckHost(u), h.cfg.Fetch.CheckAddress(ctx, u)); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w (plugins/private_hosts)", name, err))
			}
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}
