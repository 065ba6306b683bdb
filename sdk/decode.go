package sdk

import (
	"errors"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// MaxInput is the size of the largest input document that a module takes, in
// bytes.
const MaxInput = 4 << 20

// input is an abi.Input with its bodies. Unknown members are ignored, missing
// ones are zero: a newer host may say more, an older one less.
type input struct {
	op       string
	now      int64
	tenant   string
	settings tree.Value
	client   Client
	input    tree.Value
	answers  []*Response
	seed     string
}

// decodeInput reads a document. Bodies are views of it.
func decodeInput(doc []byte) (*input, error) {
	if len(doc) < 4 {
		return nil, errors.New("sdk: input document too short")
	}
	size := uint64(doc[0]) | uint64(doc[1])<<8 | uint64(doc[2])<<16 | uint64(doc[3])<<24
	if size > uint64(len(doc)-4) {
		return nil, errors.New("sdk: head longer than the input document")
	}
	head, err := tree.Parse(doc[4 : 4+size])
	if err != nil {
		return nil, err
	}
	in := &input{
		op:       head.Get("op").Str(),
		tenant:   head.Get("tenant").Str(),
		settings: head.Get("settings"),
		client:   Client{ID: head.Pointer("/client/id").Str(), RedirectURI: head.Pointer("/client/redirect_uri").Str()},
		input:    head.Get("input"),
		seed:     head.Get("seed").Str(),
	}
	in.now, _ = head.Get("now").Int()
	in.answers, err = decodeSteps(head.Get("steps"), doc[4+size:])
	return in, err
}

func decodeSteps(steps tree.Value, bodies []byte) ([]*Response, error) {
	var answers []*Response
	for _, step := range steps.Array() {
		status, _ := step.Get("status").Int()
		size, _ := step.Get("body_len").Int()
		if size < 0 || size > int64(len(bodies)) {
			return nil, errors.New("sdk: step bodies longer than the input document")
		}
		answers = append(answers, &Response{
			Status:  int(status),
			Headers: decodePairs(step.Get("headers")),
			Body:    bodies[:size:size],
		})
		bodies = bodies[size:]
	}
	return answers, nil
}

func decodePairs(v tree.Value) []abi.Header {
	var pairs []abi.Header
	for _, item := range v.Array() {
		if pair := item.Array(); len(pair) == 2 {
			pairs = append(pairs, abi.Header{pair[0].Str(), pair[1].Str()})
		}
	}
	return pairs
}

func authorizeInput(v tree.Value) AuthorizeInput {
	return AuthorizeInput{
		State:         v.Get("state").Str(),
		Scopes:        v.Get("scopes").Strings(),
		CodeChallenge: v.Get("code_challenge").Str(),
		Nonce:         v.Get("nonce").Str(),
		Prompt:        v.Get("prompt").Str(),
	}
}

func exchangeInput(v tree.Value, client Client) ExchangeInput {
	return ExchangeInput{
		Query:        decodePairs(v.Get("query")),
		CodeVerifier: v.Get("code_verifier").Str(),
		Scopes:       v.Get("scopes").Strings(),
		Nonce:        v.Get("nonce").Str(),
		Needs:        v.Get("needs").Strings(),
		redirectURI:  client.RedirectURI,
	}
}

func decodeCredential(v tree.Value) Credential {
	cred := Credential{
		AccessToken:  v.Get("access_token").Str(),
		TokenType:    v.Get("token_type").Str(),
		RefreshToken: v.Get("refresh_token").Str(),
		Scopes:       v.Get("scopes").Strings(),
	}
	cred.ExpiresAt, _ = v.Get("expires_at").Int()
	cred.RefreshExpiresAt, _ = v.Get("refresh_expires_at").Int()
	if account := v.Get("account"); account.Exists() {
		cred.Account = &Account{
			ID:      account.Get("id").Str(),
			Name:    account.Get("name").Str(),
			Email:   account.Get("email").Str(),
			Picture: account.Get("picture").Str(),

			EmailVerified: account.Get("email_verified").Bool(),
			Organizations: account.Get("organizations").Strings(),
		}
	}
	if extra := v.Get("extra"); extra.Exists() {
		cred.Extra = extra.Bytes()
	}
	return cred
}
