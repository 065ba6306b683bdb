// Guest timed has the time in its manifest, which Build must refuse.
package main

import (
	"strconv"
	"time"

	"github.com/sallyport/sallyport/sdk"
)

type provider struct{}

func (provider) Manifest() sdk.Manifest {
	return sdk.Manifest{Name: "timed", Version: "1.0.0", DisplayName: strconv.FormatInt(time.Now().Unix(), 10), Hosts: []string{"a.example"}}
}

func (provider) Authorize(*sdk.Conversation, sdk.AuthorizeInput) (string, error) { return "", nil }

func (provider) Exchange(*sdk.Conversation, sdk.ExchangeInput) (*sdk.Credential, error) {
	return nil, sdk.Bug("", "not used")
}

func init() { sdk.Register(provider{}) }

func main() {}
