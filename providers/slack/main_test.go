package main

import (
	"testing"

	"github.com/sallyport/sallyport/sdk/sdktest"
)

func TestTranscripts(t *testing.T) { sdktest.Run(t, provider(), "testdata/*.txtar") }
