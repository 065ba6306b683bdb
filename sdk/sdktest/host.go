package sdktest

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// host is what the rules of a host depend on.
type host struct {
	manifest abi.Manifest
	hosts    []string // which may be asked
	private  []string // host:port, also over http
	pkce     bool     // without it, authorize is given no code_challenge
}

// bind reads the provider's manifest and fills the settings in from its schema,
// as a host does.
func (h *host) bind(call Call, settings string) (abi.Raw, error) {
	values := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(settings), &values); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	out, _, err := twice(call, abi.Input{ABI: abi.Version, Op: abi.OpDescribe, Steps: []abi.Step{}}, nil)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	if out.Error != nil {
		return nil, fmt.Errorf("describe: %s", out.Error.Detail)
	}
	if err := json.Unmarshal(out.Result, &h.manifest); err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	if err := h.checkManifest(); err != nil {
		return nil, fmt.Errorf("the host refuses the manifest: %w", err)
	}
	var schema struct {
		Properties map[string]struct {
			Default json.RawMessage `json:"default"`
		} `json:"properties"`
	}
	if len(h.manifest.Settings) > 0 {
		if err := json.Unmarshal(h.manifest.Settings, &schema); err != nil {
			return nil, fmt.Errorf("describe: settings: %w", err)
		}
	}
	for name, property := range schema.Properties {
		if _, given := values[name]; !given && property.Default != nil {
			values[name] = property.Default
		}
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	// A host that the settings name badly is refused when it is asked.
	h.hosts, _ = rules.Hosts(h.manifest.Hosts, plain)
	return text, nil
}

// check asks the provider what the settings make of its manifest, as a host does
// when it loads a tenant. Settings that it refuses are for the transcript to
// show, but a bug is one.
func (h *host) check(call Call, in *abi.Input) error {
	h.pkce = h.manifest.Capabilities.PKCE
	out, _, err := twice(call, abi.Input{
		ABI: in.ABI, Op: abi.OpCheck, Now: in.Now, Seed: in.Seed, Tenant: in.Tenant, Client: in.Client, Settings: in.Settings, Steps: []abi.Step{},
	}, nil)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if out.Error != nil && out.Error.Kind == abi.KindBug {
		return fmt.Errorf("check: %s", out.Error.Detail)
	}
	var result abi.CheckResult
	if out.Result != nil {
		if err := json.Unmarshal(out.Result, &result); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	if result.PKCE != nil {
		h.pkce = *result.PKCE
	}
	return nil
}

func (h *host) checkManifest() error {
	if err := rules.CheckName(h.manifest.Name); err != nil {
		return fmt.Errorf("name is %q; %w", h.manifest.Name, err)
	}
	for _, name := range h.manifest.Hosts {
		if err := rules.CheckHost(name); err != nil {
			return fmt.Errorf("host %q; %w", name, err)
		}
	}
	return nil
}

// judge reports what a host would refuse of the provider's move.
func (h *host) judge(in *abi.Input, out abi.Output) error {
	if err := rules.CheckOperation(in.Op, h.manifest); err != nil {
		return err
	}
	err := h.refuses(in, out)
	if err != nil {
		return fmt.Errorf("the host refuses it: %w", err)
	}
	return nil
}

func (h *host) refuses(in *abi.Input, out abi.Output) error {
	switch {
	case out.Error != nil:
		return rules.CheckKind(out.Error.Kind)
	case out.Request != nil && (in.Op == abi.OpDescribe || in.Op == abi.OpCheck):
		return fmt.Errorf("it asks for a request, which %s may not", in.Op)
	case out.Request != nil:
		if err := rules.CheckRequest(out.Request); err != nil {
			return err
		}
		return rules.CheckPlace(out.Request, h.hosts, h.private)
	case out.Result == nil:
		return nil
	}
	if in.Op != abi.OpAuthorize {
		return rules.CheckResult(in.Op, in.Input, out.Result)
	}
	var input abi.AuthorizeInput
	var result abi.AuthorizeResult
	if err := errors.Join(json.Unmarshal(in.Input, &input), json.Unmarshal(out.Result, &result)); err != nil {
		return err
	}
	if !h.pkce {
		input.CodeChallenge = ""
	}
	if err := rules.CheckAuthorize(result.URL, input.State, input.CodeChallenge); err != nil {
		return err
	}
	return rules.CheckURL(result.URL, h.hosts, h.private)
}
