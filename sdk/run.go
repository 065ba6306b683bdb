package sdk

import (
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Run makes one call of p: an input document in, an output document out. It
// is all that the exports of a module do, so what runs natively in a test is
// what runs in the sandbox. It never panics, and whatever is wrong with input
// comes out as an error document.
func Run(p Provider, input []byte) []byte {
	in, err := decodeInput(input)
	if err != nil {
		return move{err: Fail(abi.KindBug, err.Error())}.encode()
	}
	c := &Conversation{
		now:      in.now,
		tenant:   in.tenant,
		settings: in.settings,
		client:   in.client,
		answers:  in.answers,
		seed:     in.seed,
	}
	return c.run(func() (tree.Value, error) { return dispatch(p, c, in) }).encode()
}

func dispatch(p Provider, c *Conversation, in *input) (tree.Value, error) {
	if err := usable(p); err != nil {
		return tree.Value{}, err
	}
	switch in.op {
	case abi.OpDescribe:
		return describe(p)
	case abi.OpCheck:
		return check(p, c)
	case abi.OpAuthorize:
		url, err := p.Authorize(c, authorizeInput(in.input))
		if err != nil {
			return tree.Value{}, err
		}
		var o tree.Object
		o.Set("url", tree.String(url))
		return o.Value(), nil
	case abi.OpExchange:
		return credential(p.Exchange(c, exchangeInput(in.input, c.client)))
	case abi.OpRefresh:
		if p, ok := p.(Refresher); ok {
			return credential(p.Refresh(c, RefreshInput{
				Credential: decodeCredential(in.input.Get("credential")),
				Scopes:     in.input.Get("scopes").Strings(),
			}))
		}
	case abi.OpRevoke:
		if p, ok := p.(Revoker); ok {
			err := p.Revoke(c, RevokeInput{Credential: decodeCredential(in.input.Get("credential"))})
			return empty(), err
		}
	}
	return tree.Value{}, Fail(abi.KindBug, "the provider has no operation "+oneLine(in.op))
}

// describe returns the manifest, after checking what the types can tell.
func describe(p Provider) (tree.Value, error) {
	m := p.Manifest()
	m.ABI = abi.Version
	_, refreshes := p.(Refresher)
	_, revokes := p.(Revoker)
	switch {
	case m.Name == "" || m.Version == "":
		return tree.Value{}, Fail(abi.KindBug, "the manifest has no name or no version")
	case m.Capabilities.Refresh && !refreshes:
		return tree.Value{}, Fail(abi.KindBug, "the manifest promises refresh, the provider has no Refresh method")
	case m.Capabilities.Revoke && !revokes:
		return tree.Value{}, Fail(abi.KindBug, "the manifest promises revoke, the provider has no Revoke method")
	}
	return encodeManifest(m)
}

// check asks the provider about the tenant's settings.
func check(p Provider, c *Conversation) (tree.Value, error) {
	result := &CheckResult{}
	var err error
	switch p := p.(type) {
	case Describer:
		var described *CheckResult
		if described, err = p.Describe(c); described != nil {
			result = described
		}
	case Checker:
		err = p.Check(c)
	}
	if err != nil {
		return empty(), err
	}
	if p, ok := p.(Identifier); ok && result.Identity == "" {
		if result.Identity, err = p.UpstreamIdentity(c); err != nil {
			return empty(), err
		}
	}
	return encodeCheckResult(result), nil
}

// credential checks what the host would refuse anyway and encodes the rest.
func credential(cred *Credential, err error) (tree.Value, error) {
	switch {
	case err != nil:
		return tree.Value{}, err
	case cred == nil || cred.AccessToken == "":
		return tree.Value{}, Fail(abi.KindBug, "a credential without an access token")
	}
	return encodeCredential(cred)
}

func empty() tree.Value {
	var o tree.Object
	return o.Value()
}
