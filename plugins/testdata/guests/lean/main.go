// Package main is a lean guest made with the SDK, for benchmarks.
package main

import (
	"github.com/sallyport/sallyport/plugins/testdata/guests/lean/login"
	"github.com/sallyport/sallyport/sdk"
)

func init() { sdk.Register(login.Provider{}) }
func main() {}
