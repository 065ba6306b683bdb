package main

import (
	"testing"

	"github.com/sallyport/sallyport/sdk/sdktest"
)

func FuzzAnswers(f *testing.F) { sdktest.Fuzz(f, provider()) }
